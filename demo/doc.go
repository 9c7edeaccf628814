// Package demo plays the walk-through and checks it.
//
// Three versions of a real service are built and pushed: a good one, one that
// is a second slower, and a good one again. A client asks production all the
// time. The account that is printed is made of what Fairway's API, the gateway
// and the project's git repository say; [Run] fails unless they say what the
// walk-through promises.
package demo
