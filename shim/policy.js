'use strict';

require('./action').policy(...process.argv.slice(2));
