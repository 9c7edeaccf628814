// Package gateway is the local reverse proxy in front of the delivered
// services. It implements [fairway.Traffic]: it splits a service's requests
// by weight among the colours that are ready, and counts them per version
// under the names that Istio uses.
//
//	carts.production.localhost       by weight, among what is ready
//	carts-green.production.localhost green alone, whatever its weight
//
// All that routing needs is one immutable table behind one atomic pointer. A
// request counts itself at the backend it picked and then looks whether the
// table is still the one it picked from; if not, it takes its count back and
// picks again. A change stores the new table first and looks at the counts
// afterwards. So either the change sees the request, or the request sees the
// change, and what a table no longer names gets no request any more:
//
//	request                       change
//	t := table                    table = t'
//	b := pick(t)                  …
//	b.count++                     wait until b.count == 0
//	table == t ? go : b.count--   close b's idle connections
//
// The order of a switch is the caller's: start the new version, Attach it once
// it is ready, SetWeights, Drain the old instance, and only then stop its
// process. In that order no request fails.
package gateway
