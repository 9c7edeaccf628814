// Package api is the JSON API under /api/v1, its server and its client.
//
// [Backend] is what can be asked of Fairway. The server offers a Backend over
// HTTP; [Client] is a Backend that asks a server, so that the command line and
// the console say the same things in the same words.
//
//	projects                                GET, POST          201
//	projects/PROJECT                        GET, PUT           another shipyard
//	projects/PROJECT/services               GET, POST          onboards
//	projects/PROJECT/services/S/resources   PUT
//	projects/PROJECT/services/S/artifacts   POST               202
//	services?project                        GET
//	deliveries?project&service&status&open&limit               GET
//	deliveries/ID, …/events, …/logs?follow  GET
//	deliveries/ID/commands                  POST               approve, reject, abort
//	evaluations/ID, reports/ID              GET
//	events?project&service&delivery&type&after&limit           GET
//	events                                  POST CloudEvents   202 once stored
//	targets, routes, status                 GET
//	watch                                   GET                server-sent events
//
// A list is {"items": […]}. A refusal is a problem document (RFC 9457) with
// the error's kind and every problem; one table has the status of each kind.
//
// A watch goes on over broken connections, because the server puts what was
// missed between the watch's beginning and what is new:
//
//	watcher                       server                        Backend
//	   │── Last-Event-ID: 41 ──────►│── Watch ────────────────────►│
//	   │                            │◄── first call, no events ────│ nothing is missed from here on
//	   │                            │── Events after 41 ──────────►│
//	   │◄── id: 43, events 42, 43 ──│◄── 42, 43 ───────────────────│
//	   │◄── id: 44, event 44 ───────│◄── 43, 44 ───────────────────│ 43 came already
package api
