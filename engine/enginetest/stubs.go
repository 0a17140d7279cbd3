package enginetest

var (
	commitTests, ownTests, queueTests, logTests, stateTests, tableTests, leaseTests, closeTests []test
	reopenTests, corruptTests, faultTests, crashTests, modelTests                               []test
)
