// Package kubernetes is the platform of a cluster: it implements
// [fairway.Platform] by server-side apply of a chart's rendered objects.
//
//	Workload.Manifests ─► read, upgrade ─► whose is it? ─► hooks ─► the rest ─► the workload ─► prune
//	                                                                              │
//	 Instance ◄── readiness, reasons ◄── watches of workloads and pods ◄──────────┘
//
// An instance is what a Deployment or StatefulSet of a place runs now. Its
// record is that object itself, which is applied last: labels and annotations
// say which delivery, artifact and commit it is and what else was applied
// with it. So what runs is found again after a crash without a file of ours,
// and applying an instance that stands there already changes nothing.
// Another instance in the same place replaces it in the same object.
//
// # Whose an object is
//
// What Fairway applies carries its labels. An object without them, or with
// those of another service, is not taken over; one that Helm, Argo CD or Flux
// manages never is. What a former rendering had and the present one lacks is
// removed, but never a claim, a custom resource definition or a namespace.
//
// # Readiness
//
// AwaitReady is strict: the rollout is complete, every pod is available, and
// no pod of before is left. From then on an instance is ready as long as one
// of its pods is, for a cluster mends the others by itself.
package kubernetes
