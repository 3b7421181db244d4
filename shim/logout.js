'use strict';

require('./action').post('logout', 'hullwright-login');
