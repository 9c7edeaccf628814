// Package subscription sends events to the URLs that subscribe to them.
//
//	log ─► read, filter ─► send the first ──2xx──► cursor moves on
//	                          ▲     └─ else wait ┐
//	                          └──────────────────┤ too often, too long
//	                                             └─► laid aside, cursor moves on
//
// The log is the queue: a subscription is a cursor in it, and nothing is
// copied. The cursor is stored after an event was taken, so that an event
// comes at least once, and again after a crash; its id tells. Events of a
// service come in the order of the log, and of all by time. The first one that
// is not taken holds up the others, until it is taken or laid aside.
package subscription
