package main

import "context"

// fault is one kind of harm.
type fault struct {
	name     string
	notShort bool // it takes too long for continuous integration
	run      func(ctx context.Context, h *harness, r *row) error
}

// faults are all that is tried, in the order of the table.
var faults = []fault{
	{"killed at each failpoint in turn", false, atEveryPoint},
	{"killed at random moments", false, atRandom},
	{"power cut", false, powerCuts},
	{"power cut with `--durability=process`, as a counter-proof", true, powerLost},
	{"torn last write", false, tornWrites},
	{"clock set by ± 1 h", false, movedClock},
	{"process stopped and continued", false, frozen},
	{"second process on the directory", false, secondProcess},
	{"full disk", true, inProcess("app", "TestAFullDiskHealsByItself")},
	{"append whose answer is lost", true, inProcess("controller", "TestAnAppendWhoseAnswerIsLostCountsOnce")},
}
