// Package scrapeconf writes Prometheus configuration for pods.
//
// A gate judges one version in one test run. In a cluster Prometheus learns
// both from the pods: Fairway labels and annotates them, and the relabelling
// that is written here turns that into the labels job, instance, version,
// fairway_run and others, the same that the Prometheus inside Fairway gives on
// one machine. So an objective that was written on a laptop holds in a cluster.
//
// [Config] is for a Prometheus that exists; [Objects] are the Kubernetes
// objects of one that does not yet.
package scrapeconf
