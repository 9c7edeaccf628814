package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/fairwaycd/fairway"
)

// manager is the field manager, and the value of the label managed-by.
const manager = "fairway"

// The labels of what Fairway applies. Those of the pods of a version are all
// but the first.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelProject   = "fairway.dev/project"
	LabelStage     = "fairway.dev/stage"
	LabelService   = "fairway.dev/service"
	LabelColour    = "fairway.dev/colour" // blue, green or single
	LabelInstance  = "fairway.dev/instance"
	LabelDelivery  = "fairway.dev/delivery"
	LabelVersion   = "version" // the artifact's tag
	// LabelInstallation tells what one Fairway applies from what another does.
	LabelInstallation = "fairway.dev/installation"
	// LabelRun is the test under way; its annotation has the full run id.
	LabelRun = "fairway.dev/run"
	// labelPart marks the pods of a chart's other workloads with the service.
	labelPart = "fairway.dev/part-of"
	// labelRaised marks an autoscaler whose minReplicas is raised for a switch.
	labelRaised = "fairway.dev/raised"
)

// The annotations of a workload, which are the record of its instance.
const (
	annotationInstance = "fairway.dev/instance"
	annotationDelivery = "fairway.dev/delivery"
	annotationArtifact = "fairway.dev/artifact" // IMAGE:TAG
	annotationDigest   = "fairway.dev/digest"
	annotationCommit   = "fairway.dev/commit"
	annotationRecord   = "fairway.dev/record"   // JSON, see record
	annotationObsolete = "fairway.dev/obsolete" // JSON, what is still to be pruned
	annotationStopping = "fairway.dev/stopping" // since when it is being stopped
	annotationVersion  = "fairway.dev/version"  // of pods: the full tag
	annotationMin      = "fairway.dev/min-replicas"
)

// colourLabel is the value of [LabelColour].
func colourLabel(c fairway.Colour) string {
	if c == fairway.Single {
		return "single"
	}
	return string(c)
}

func colourOf(label string) (fairway.Colour, bool) {
	switch label {
	case "single":
		return fairway.Single, true
	case "blue", "green":
		return fairway.Colour(label), true
	}
	return "", false
}

const maxLabel = 63

var notInLabels = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// labelValue makes s a valid value of a label. A slash becomes a dot. What is
// too long, or has to lose something at its ends, gets a hash of the whole.
func labelValue(s string) string {
	v := notInLabels.ReplaceAllString(strings.ReplaceAll(s, "/", "."), "-")
	t := strings.Trim(v, "._-")
	if t == v && len(t) <= maxLabel {
		return v
	}
	sum := sha256.Sum256([]byte(s))
	suffix := "-" + hex.EncodeToString(sum[:4])
	t = strings.TrimRight(t[:min(len(t), maxLabel-len(suffix))], "._-")
	return strings.TrimPrefix(t+suffix, "-")
}

// owner are the labels by which an object is the service's.
func owner(w fairway.Workload, installation string) map[string]string {
	return map[string]string{
		LabelManagedBy: manager, LabelInstallation: installation, LabelProject: string(w.Project), LabelStage: string(w.Stage), LabelService: string(w.Place.Service),
	}
}

// podLabels are those of the version's pods.
func podLabels(w fairway.Workload, installation string) map[string]string {
	return map[string]string{
		LabelInstallation: installation,
		LabelProject:      string(w.Project), LabelStage: string(w.Stage), LabelService: string(w.Place.Service),
		LabelColour: colourLabel(w.Place.Colour), LabelInstance: labelValue(w.Instance), LabelDelivery: labelValue(string(w.Delivery)),
		LabelVersion: labelValue(w.Artifact.Tag),
	}
}
