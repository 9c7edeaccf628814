package main

// points are the program's failpoints. points_test.go holds them against the
// source.
var points = []string{
	"event.before-append", "event.after-append",
	"registry.put.before-event", "registry.put.after-event",
	"record.before-append", "record.after-append", "input.before-ack",
	"snapshot.before-state", "snapshot.before-ended", "snapshot.before-floor",
	"git.before-commit", "git.objects.written", "git.ref.before-rename", "git.ref.after-rename", "git.after-commit",
	"platform.before-apply", "platform.apply.recorded", "platform.apply.started", "platform.after-apply", atRestore,
	"traffic.before-attach", "traffic.before-drain",
	"test.before-start", "test.after-report", "evaluation.before", "evaluation.after", "blob.before-put",
	"route.before-change", "route.change", "route.after-change",
	"platform.before-stop", "platform.stop", "platform.after-stop",
}

// elsewhere are points that a set of deliveries does not come by: nothing in it
// is deleted, moved away, grows old, has an upstream, or comes from a registry
// elsewhere.
var elsewhere = []string{"elsewhere.before-event", "elsewhere.after-event", "remove.before-forget", "expire.before-forget", "git.repository.before-move", "upstream.before-push"}

// inCluster are points that only versions in a cluster come by; the harness
// delivers on this machine.
var inCluster = []string{"platform.apply.hooks", "platform.apply.before-workload", "platform.apply.before-prune", "route.written", "route.seen"}

// atRestore is reached when the platform does not know, at a start, of a
// version that should run.
const atRestore = "place.before-apply"

// shortPoints are those of the short form: one of each kind.
var shortPoints = []string{
	"event.after-append", "registry.put.before-event", "record.before-append", "record.after-append", "input.before-ack",
	"git.ref.before-rename", "git.after-commit", "platform.apply.started", atRestore, "traffic.before-attach",
	"test.after-report", "evaluation.after", "route.change", "platform.stop",
}
