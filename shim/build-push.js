'use strict';

require('./action').main('build-push');
