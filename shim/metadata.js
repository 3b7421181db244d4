'use strict';

require('./action').main('metadata');
