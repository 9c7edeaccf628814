// Package istio leads the traffic of delivered services in a cluster whose
// ingress is Istio's. It implements [fairway.Traffic] with the objects that
// Istio reads, and believes only what the gateway's Envoy says of itself.
//
//	carts.production.DOMAIN         by weight, at the gateway and in the mesh
//	carts-green.production.DOMAIN   green alone, whatever its weight
//
// Prepare writes the objects of a service from what git has for it; the
// VirtualService is the one that holds weights. Two things are remembered in
// its annotations: what git says of it, from which its rules are made again
// for other weights, and the weights that were last seen in force. A change is
//
//	ask      has every colour with weight ready endpoints?          no: refused
//	write    the VirtualService, on the version that was read       spec: new, annotation: old
//	see      every gateway pod: its routes and its endpoints        not by the deadline: spec put back
//	record   the weights that were seen                             spec: new, annotation: new
//
// A process that dies in between leaves a spec that differs from the
// annotation, and the next change or Restore finds that.
//
// Envoy is asked at its admin port, which listens inside the pod alone, through
// the API server's port-forward; one connection for each gateway pod, while
// somebody waits.
package istio
