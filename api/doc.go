// Package api is the JSON API under /api/v1, its server and its client.
//
// [Backend] is what can be asked of Fairway. The server offers a Backend over
// HTTP; [Client] is a Backend that asks a server, so that the command line and
// the console say the same things in the same words.
package api
