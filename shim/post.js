'use strict';

require('./action').post();
