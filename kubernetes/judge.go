package kubernetes

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

type labelSet = labels.Set

// progress is how far a workload's rollout is, as its controller says.
type progress struct {
	observed  bool // the controller has seen the present specification
	complete  bool // all pods are of it, and have been available together
	desired   int32
	updated   int32
	old       int32
	available int32
	failure   string // why pods cannot be made
	late      string // the workload's own deadline has passed
}

func deploymentProgress(d *appsv1.Deployment) progress {
	p := progress{observed: d.Status.ObservedGeneration >= d.Generation, desired: 1,
		updated: d.Status.UpdatedReplicas, old: d.Status.Replicas - d.Status.UpdatedReplicas, available: d.Status.AvailableReplicas}
	if d.Spec.Replicas != nil {
		p.desired = *d.Spec.Replicas
	}
	tracked := false
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			p.failure = c.Message
		case c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded":
			tracked, p.late = true, c.Message
		case c.Type == appsv1.DeploymentProgressing:
			// The reason stays when pods fail later: it is about the rollout.
			tracked = true
			p.complete = p.observed && c.Reason == "NewReplicaSetAvailable" && p.old == 0
		}
	}
	if !tracked { // a Deployment without a deadline
		p.complete = p.observed && p.old == 0 && p.updated == p.desired && p.available >= p.desired
	}
	return p
}

func statefulProgress(s *appsv1.StatefulSet) progress {
	p := progress{observed: s.Status.ObservedGeneration >= s.Generation, desired: 1, updated: s.Status.UpdatedReplicas,
		old: s.Status.Replicas - s.Status.UpdatedReplicas, available: s.Status.AvailableReplicas}
	if s.Spec.Replicas != nil {
		p.desired = *s.Spec.Replicas
	}
	if s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		p.failure = "its update strategy is OnDelete: pods are replaced when somebody deletes them"
	}
	p.complete = p.observed && p.old == 0 && p.updated == p.desired && s.Status.CurrentRevision == s.Status.UpdateRevision
	return p
}

// done reports whether all that is wanted is there now, and says what is not.
func (p progress) done() (reason string, ok bool) {
	switch {
	case !p.observed:
		return "its controller has not seen the change yet", false
	case p.desired == 0:
		return "it is scaled to 0", false
	case p.updated < p.desired:
		return fmt.Sprintf("%d of %d pods are of the new version", p.updated, p.desired), false
	case p.old > 0:
		return fmt.Sprintf("%d pods of before are still there", p.old), false
	case p.available < p.desired:
		return fmt.Sprintf("%d of %d pods are available", p.available, p.desired), false
	}
	return "", true
}

// finding is why a workload is not ready.
type finding struct {
	reason   string // empty: it is ready
	terminal bool   // waiting does not help
	// pod and container have written more about it; previous means the run
	// before the present one.
	pod, container string
	previous       bool
	crashes        bool // it runs, and ends
	// pending says that the cluster's events know more than the pod.
	pending bool
}

// judge says why the workload is not ready. pods are all that its selector
// means. What is missing may come within the time given.
func (w workload) judge(pods []*corev1.Pod, now time.Time, missing time.Duration) finding {
	reason, done := w.status.done()
	mine := w.template.Labels[LabelInstance]
	var worst finding
	leftover := 0
	for _, pod := range pods {
		switch {
		case pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed && pod.DeletionTimestamp == nil:
			// Evicted or finished: the controller has made another.
		case pod.DeletionTimestamp != nil, pod.Labels[LabelInstance] != mine:
			leftover++
		default:
			if f := judgePod(pod, now, missing); f.rank() > worst.rank() {
				worst = f
			}
		}
	}
	switch {
	case done && leftover == 0:
		return finding{}
	case worst.reason != "":
		return worst
	case w.status.failure != "":
		return finding{reason: "pods cannot be made: " + w.status.failure, pending: true}
	case done:
		return finding{reason: fmt.Sprintf("%d pods of before have not ended yet", leftover)}
	case w.status.late != "":
		return finding{reason: w.status.late + " (progressDeadlineSeconds of the " + w.kind + ")", terminal: true}
	}
	return finding{reason: reason, pending: len(pods) == 0}
}

func (f finding) rank() int {
	switch {
	case f.reason == "":
		return 0
	case f.terminal:
		return 3
	case f.pending:
		return 1
	}
	return 2
}

// judgePod says why the pod is not ready.
func judgePod(pod *corev1.Pod, now time.Time, missing time.Duration) finding {
	if c := podCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		return finding{reason: fmt.Sprintf("pod %s cannot be placed on a node: %s", pod.Name, c.Message), pod: pod.Name, pending: true}
	}
	long := now.Sub(pod.CreationTimestamp.Time) >= missing
	for i, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range list {
			if f := judgeContainer(s, long, i == 0); f.reason != "" {
				f.reason = fmt.Sprintf("pod %s: %s", pod.Name, f.reason)
				f.pod = pod.Name
				return f
			}
		}
	}
	if c := podCondition(pod, corev1.PodReady); c == nil || c.Status != corev1.ConditionTrue {
		f := finding{reason: fmt.Sprintf("pod %s is not ready", pod.Name), pod: pod.Name, pending: true}
		if c != nil && c.Message != "" {
			f.reason += ": " + c.Message
		}
		return f
	}
	return finding{}
}

func podCondition(pod *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == t {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// crashLimit is how often a container may end before it was ready until the
// version is given up.
const crashLimit = 3

func judgeContainer(s corev1.ContainerStatus, long, first bool) finding {
	name := "container " + s.Name
	if first {
		name = "init container " + s.Name
	}
	if w := s.State.Waiting; w != nil {
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
			f := finding{reason: fmt.Sprintf("%s: its image %s cannot be pulled (%s): %s", name, s.Image, w.Reason, w.Message), container: s.Name}
			f.terminal = w.Reason == "InvalidImageName" || w.Reason == "ErrImageNeverPull" || long && isMissing(w.Message)
			return f
		case "CreateContainerConfigError":
			return finding{reason: fmt.Sprintf("%s cannot be configured: %s", name, w.Message), container: s.Name, terminal: long}
		case "CreateContainerError", "RunContainerError":
			return finding{reason: fmt.Sprintf("%s cannot be started: %s", name, w.Message), container: s.Name, terminal: s.RestartCount >= crashLimit, pending: true}
		case "CrashLoopBackOff":
			return crash(name, s, true)
		}
	}
	if t := s.State.Terminated; t != nil && (t.ExitCode != 0 || !first) {
		return crash(name, s, false)
	}
	if !s.Ready && !first && s.RestartCount > 0 && s.LastTerminationState.Terminated != nil {
		return crash(name, s, true)
	}
	return finding{}
}

// crash tells how a container ended. previous: it runs again, or will.
func crash(name string, s corev1.ContainerStatus, previous bool) finding {
	t := s.LastTerminationState.Terminated
	if s.State.Terminated != nil {
		t, previous = s.State.Terminated, false
	}
	how := "ended"
	if t != nil {
		how = fmt.Sprintf("ended with exit code %d", t.ExitCode)
		if t.Signal != 0 {
			how = fmt.Sprintf("was killed by signal %d", t.Signal)
		}
		if t.Reason != "" && t.Reason != "Error" && t.Reason != "Completed" {
			how += " (" + t.Reason + ")"
		}
		if t.Message != "" {
			how += ": " + strings.TrimSpace(t.Message)
		}
	}
	if s.RestartCount > 0 {
		how += fmt.Sprintf(", and was started again %d times", s.RestartCount)
	}
	return finding{reason: name + " " + how,
		terminal: s.RestartCount >= crashLimit, container: s.Name, previous: previous, crashes: true}
}

// isMissing reports whether a registry has said that there is no such image,
// or that nobody may have it without credentials; what else keeps it may pass.
func isMissing(message string) bool {
	m := strings.ToLower(message)
	for _, sign := range []string{"not found", "notfound", "manifest unknown", "name unknown", "does not exist", "unauthorized", "authentication required", "access denied", "denied: ", "insufficient_scope"} {
		if strings.Contains(m, sign) {
			return true
		}
	}
	return false
}

// jobFinding says how a hook's Job or Pod stands; done means that it has
// succeeded.
func jobFinding(o *object) (done bool, failed string) {
	conditions, _ := status(o)["conditions"].([]any)
	for _, c := range conditions {
		cond, _ := c.(map[string]any)
		if cond["status"] != "True" {
			continue
		}
		switch cond["type"] {
		case "Complete", "SuccessCriteriaMet":
			return true, ""
		case "Failed", "FailureTarget":
			return false, cmp.Or(text(cond, "message"), text(cond, "reason"), "it has failed")
		}
	}
	if o.GetKind() == "Pod" {
		switch text(status(o), "phase") {
		case "Succeeded":
			return true, ""
		case "Failed":
			return false, cmp.Or(text(status(o), "message"), "it has failed")
		}
	}
	return false, ""
}

func status(o *object) map[string]any {
	s, _ := o.Object["status"].(map[string]any)
	return s
}
