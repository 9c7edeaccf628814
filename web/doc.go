// Package web is the console: pages that show what is delivered where and why,
// rendered on the server from an [api.Backend].
//
//	/                  the board: projects, services × stages, deliveries
//	/deliveries/ID     one delivery: its way, events, evaluations, tests; approve, reject, abort
//	/evaluations/ID    one verdict of a gate with all it rests on
//	/projects          all projects; /projects/new makes one
//	/projects/P        one project: shipyard, services, figures, commits, upstream; onboarding under it
//	/projects/P/services/S   one service: what runs where, figures, history; roll back, split, deliver
//	/system            Fairway itself: health, queues, storage
//	/live              server-sent events that say when a page is out of date
//
// Pages are complete without scripts. A small script listens to /live, loads
// the page that is open again in the background and puts it in place. Every
// handler returns an error, and one renderer shows it.
package web
