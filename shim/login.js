'use strict';

require('./action').main('login');
