// Package access decides who may ask Fairway for anything: it is locked by
// default.
//
// A request gets in by one of three things that its sender knows:
//
//	Authorization: Bearer TOKEN    the API token, made at the first start
//	Authorization: Basic ANY:TOKEN the same, as git and image clients send it
//	a session cookie               given for a one-time code at /login?code=…
//
// Only /healthz, /readyz and /login are open. A request must name one of our
// own hosts, which keeps out pages that have their name resolve to this
// machine; a request that changes something must come from our own pages if it
// comes from a browser, and with a cookie it must carry a token that only our
// pages know. Refusals are counted and say nothing about what is here.
//
// Sessions are stored as hashes keyed with the API token: whoever reads the
// file gets no session, and a new token ends them all.
package access
