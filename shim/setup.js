'use strict';

require('./action').main('setup');
