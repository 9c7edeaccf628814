// Package dora computes the four figures by which the DORA research programme
// (Google) measures how software is delivered, from deliveries that have ended.
// It is pure: no clock, no I/O.
//
// Production is the last stage of the shipyard. Definitions follow
// https://dora.dev/guides/dora-metrics-four-keys/ as far as a delivery tool can
// know them:
//
//   - A deployment is a delivery whose version got traffic in production, at
//     the moment it got it. A rollback is none: it is how one is undone.
//   - Deployment frequency: deployments in the window, and per day.
//   - Lead time for changes: from the moment a change was accepted, which is
//     when its image was pushed or its commit reached the stage's branch, until
//     it got the traffic in production. A change that was tried several times
//     counts once, from its first acceptance. What happened before the push is
//     the build's, and not known here.
//   - Change failure rate: the share of deployments that failed in production:
//     turned away by test, gate or person after they had got traffic, or rolled
//     back later. What was turned away before any traffic reached it is none.
//   - Time to restore: from the moment a failed deployment got traffic until
//     its traffic went to a version that was all right: the one before it, or
//     the next one.
package dora
