// Package registry is the OCI registry inside the process: the distribution
// library over a directory, with what the library leaves open.
//
//   - A pushed tag gets its 201 only after Options.OnPush has returned without
//     error. The library's own notifications wait in memory and die with the
//     process, so they are not used.
//
//     client ── PUT /v2/R/manifests/TAG ──► manifest, revision and tag links
//     │                                       written and synced
//     │                                     OnPush(R, TAG, digest)
//     ◄────────────── 201 ────────────────── only now
//
//     A crash between the two leaves a tag that nobody was told of. The caller
//     finds it at its next start by comparing [Registry.Tags] with what it knows.
//
//     A tag whose OnPush failed is hidden until it is pushed again, since clients
//     push nothing under a tag that they find naming their image.
//
//   - What was acknowledged survives a power cut. The library's filesystem
//     driver syncs files and the directory of a replaced file, but neither the
//     directories that it creates on the way nor the one that a finished upload
//     is moved into; the driver here does.
//
//   - Garbage collection that can run while clients push: see
//     [Registry.Collect].
//
// Not served: DELETE (what may go is decided by retention alone), and indexes
// some of whose children were not pushed (the library answers 400).
//
// Process-wide state that the library forces: logrus' standard logger is
// silenced and hands warnings and errors to the logger of the registry made
// last; one storage driver named "fairway" is registered; each registry's event
// broadcaster keeps one goroutine until the process ends.
//
// Authentication is the business of the handler in front.
package registry
