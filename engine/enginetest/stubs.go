package enginetest

var reopenTests, corruptTests, faultTests, crashTests, modelTests []test
