// Package cluster runs Kubernetes with Istio on one machine, for tests: etcd,
// apiserver, controller manager, scheduler, kubelet and kube-proxy as processes,
// everything else as pods on containerd. All programs are built from Go modules or
// come from Debian and PyPI; nothing is pulled from a registry of others.
//
//	Build ─► programs in the cache, by version
//	Up    ─► certificates, registry and images, control plane, node,
//	         DNS, volumes, istiod, ingress gateway
//	Down  ─► stops all of it and takes back what the network got
//
// Up leaves alone what runs. A process is known by a file with its number and the
// time it began, so that a number used again is nobody's.
package cluster
