// Command carts is the sample service of Fairway: the shopping carts of a sock
// shop, in memory, with the endpoints and metrics that a delivery needs to see
// (version, health, Prometheus) and a delay that can be set, so that a slow
// version is one edited line away.
//
// The files version and src/main/resources/application.properties are built
// in: editing them and building again makes another version.
package main
