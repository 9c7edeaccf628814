// Package git keeps the configuration of projects in bare git repositories:
// it commits to them, reads them, and serves them to plain git over HTTP.
//
// Objects are stored and spoken in git's own formats, by the codecs of
// go-git. Everything that decides whether an update is lost or kept is ours:
//
//	push ──► incoming pack, checked ─┐
//	                                 ├─► lock of the repository ─► pack, synced ─► packed-refs, renamed ─► answer
//	Commit ─► queue, joined ─────────┘
//
// A repository DIR/PROJECT.git has packs and one file of refs, packed-refs,
// and nothing else that changes. Every write is one new pack, complete and
// synced before it is renamed into place, followed by one replacement of
// packed-refs. So a crash between any two lines leaves the old refs or the new
// ones, of all branches together, and at most a pack that nothing points to.
// Because no object is stored without everything it refers to, and none is
// ever deleted, readers need no lock.
//
// The commits that wait while another is being synced are synced together
// afterwards (group commit). [Store.Maintain] merges small packs.
//
// A repository is valid for the git program too, but only Fairway may write
// to it while it runs.
package git
