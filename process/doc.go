// Package process is the local platform: it implements [fairway.Platform] by
// running programs out of unpacked OCI images as processes of this machine,
// one port each. It is a try-out and a test double of a cluster, not an
// isolation: programs run as the user who runs Fairway and see his files. The
// entrypoint and the working directory are looked up inside the image; a path
// that the program itself opens is the host's, unless it is relative.
//
// Of a chart's rendered objects one container is run: that of the Deployment
// (or StatefulSet) which a Kubernetes Service asks, else the first. Command,
// args, environment, probes and grace period mean what they do in Kubernetes.
// Jobs and Pods that are Helm's hooks of pre-install or pre-upgrade are run
// before it, each once. What is left out is listed in
// [fairway.Instance.NotRun].
//
// # Ports
//
// A program gets one free port, in the variable PORT, and wherever {{port}}
// stands in its command, args or environment. It keeps the port over restarts
// unless somebody else has taken it meanwhile. A container without ports,
// network probes and {{port}} gets none. Probes and metrics are asked on this port,
// whatever port they name.
//
// # Readiness
//
// Probes are asked as they are written, with two exceptions. Until the first
// success a startup or readiness probe is asked five times a second, so that a
// delivery does not wait for the rest of a period; failures count once a
// period all the same. A liveness probe is first asked after one period of life. Without a readiness probe an instance is ready when its
// port accepts connections, or, without a port, when it has run for a second.
//
// # Who outlives whom
//
//	                  processes             records   next Start
//	Shutdown          SIGTERM … SIGKILL     stay      runs them again, same ids
//	Detach            go on                 stay      finds them
//	kill -9, crash    go on                 stay      finds them
//	Stop(id)          SIGTERM … SIGKILL     removed   –
//
// Processes are not tied to the life of Fairway by PR_SET_PDEATHSIG: a crash
// or upgrade of the control plane must not end what it runs, and the signal is
// bound to the thread that forked, which the Go runtime may end at any time.
// Instead every process can be found again:
//
//	record{nonce}  ─►  start, environment carries the nonce  ─►  record{nonce, pid, start time}
//	      │                         │                                     │
//	   crash: nothing runs       crash: found by nonce              found by pid, start time and nonce
//
// Each start has a fresh random nonce, and the environment also names the data
// directory's own random identity. [Platform.Start] looks through all
// processes for that identity. The leader that the record means is adopted;
// everything else with our identity is a remainder and is killed. A pid is
// never believed alone. A program that erases its own environment cannot be
// found after a crash: it is left alone and a warning names it.
//
// A process leads its own process group. It alone gets SIGTERM; whatever it
// has left behind, in the group or outside it, is killed when it has ended, as
// a container's runtime does.
//
// Adoption is written for Linux (/proc and pidfds). On other systems the package
// asks ps, whose start times have a resolution of a second; it is compiled for
// them and not tested there.
package process
