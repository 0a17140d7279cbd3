// Package pebbledb is the embedded engine: one process, one directory, no
// other server. It keeps everything in one Pebble database.
//
// # Durability
//
// A commit is acknowledged after its bytes were fsynced in Pebble's
// write-ahead log. Commits of all shards share one log, and one fsync covers
// all that arrived meanwhile: what Commit is given is encoded at once into the
// group that is being filled; one goroutine applies a group while others are
// on their way to the disk, another waits for the disk, and one per shard
// calls back.
//
// Readers see durable commits only, at the boundary of a commit: behind each
// group a snapshot is taken, which becomes what readers see once the group is
// on disk.
//
// One database for all shards, not one for each: on two cores, one database
// took 89,000 synced commits of 256 bytes per second from 64 writers, and eight
// took 42,000; from 1,000 writers both took about 150,000 (BenchmarkPebble).
// One log gathers what eight would fsync one by one. Besides, one database
// needs an eighth of the memtables and compactions. Through a Committer and
// this engine the same writers store 55,000 to 67,000 and 180,000 to 200,000
// records per second (BenchmarkCommitter).
//
// # Damage
//
// Every record and row carries a checksum of its key and value that is made
// in Commit and verified whenever it is read, so that a changed bit is found
// wherever it changed: on disk, in a cache, in a memtable. The record is never
// served; reading it fails with *engine.CorruptError. If a whole block of a
// table cannot be read, the error's Offset is that of the last unreadable
// record and its Detail tells the first.
//
// A torn end of the write-ahead log is what a crash leaves and is cut off. A
// log that is damaged before its end makes Open fail, for what is behind the
// damage was acknowledged. How the two are told apart, which Pebble does only
// in part, is in stamp.go.
//
// # Failing disks
//
// The first failed write, fsync or other change of a file ends the life of the
// Pebble instance: nothing it says about its files can be relied on any
// more, and it is kept from touching them (gate.go). All commits in flight fail with
// Unavailable and are in doubt; reads go on, and see what was durable before.
// Once the directory can be written again a new instance is opened in place.
//
// A disk that is nearly full (Options.MinFree) takes no more records, but
// removals, until there is space again. Should it become full all the same, a
// reserve (Options.Reserve) is given up, so that what is under way succeeds.
//
// # Limits
//
// Leases and owners are those of this process; a lock keeps a second process
// out. The number of shards and the format version are fixed in the store and
// checked when it is opened; see format.go.
package pebbledb
