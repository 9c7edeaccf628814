// Package controller runs deliveries: it feeds inputs to the engine in
// package sequence, stores each decision as one fenced record, and performs
// the effects that the record asks for.
//
//	others ─► IN ─┐                    ┌─► record appended to LOG ─► view, waiters
//	results ──────┼─► shard loop: decide ──► effects started or cancelled
//	deadlines ────┘                    └─► input acknowledged
//	    ▲                                         │
//	    └──────────── effect performed ◄──────────┘
//
// Only what others send goes through the queue. Results and deadlines are
// handed over in memory: when they are lost in a crash, the state still holds
// the effect as pending, it is performed again, finds its own trace, and gives
// the same result.
//
// Order of every decision: decide on a copy, append, replace the state,
// acknowledge, start effects. A crash between any two of them is repaired by
// the next start, which replays the log from the last snapshot and starts
// whatever is pending.
package controller
