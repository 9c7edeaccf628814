// Package registries keeps which registries elsewhere the projects take images
// from, and learns what is pushed there: from the notifications of those that
// send some, and from their tags, looked at again and again.
//
// What becomes of a push is not decided here. It is handed on, and counts as
// known once whoever got it has stored it:
//
//	notification ─► secret ─► body ─┐
//	                                ├─► Push ─► stored ─► Mark
//	tags ─► new ones ─► in order ───┘
//
// A crash between the last two brings the push again, and the engine knows it
// by image, tag and digest.
package registries
