// Package helm renders the chart of a stage's branch with Helm's loader and
// template engine, from memory, for one service and colour at a time:
//
//	files ─► the service's templates ─► Helm's engine ─► objects ─► manifests of the colour
//	         and the helpers, no other                      └─────► what both colours share
//
// A service's own chart is rendered whole, once per colour, beside the
// umbrella's traffic objects, and its objects are sorted afterwards: what runs
// gets the colour, what stands once stays single (see colourise).
//
// Only the templates of the one service are rendered, so that a mistake in
// another's does not hold it up. Nothing is installed here: Helm's action
// package is not used.
package helm
