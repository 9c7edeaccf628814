// Package chart edits the configuration of services as it lies in the branch
// of a stage: one umbrella chart in the layout that users know, and beside it
// a directory per service. All functions are pure: they are given the files of
// a branch by path and return the changes to commit, where nil stands for a
// file to delete.
//
//	helm-chart/Chart.yaml
//	helm-chart/values.yaml                                  carts, cartsBlue, cartsGreen
//	helm-chart/templates/istio-gateway.yaml
//	helm-chart/templates/carts-deployment.yaml              direct
//	helm-chart/templates/cartsBlue-deployment.yaml          blue/green
//	helm-chart/templates/cartsGreen-deployment.yaml         blue/green
//	helm-chart/templates/carts-service.yaml
//	helm-chart/templates/istio-destination-rule-carts.yaml  blue/green
//	helm-chart/templates/istio-virtual-service-carts.yaml
//	carts/perfspec/perfspec.json, carts/tests/*.yaml, carts/jmeter/*
//	carts/chart/…                                           in place of the templates, for a service with a chart of its own
//
// Values keys and the Deployments' file names are camel case ([Key]); all else
// carries the service's name. Edits touch the lines they change and no others,
// so that a diff shows what happened, and YAML that looks like a number or a
// date keeps its text.
package chart
