package sequence

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// result takes what came of an effect. A result of an effect that is no
// longer pending (another attempt, an aborted delivery) decides nothing.
func (d *decider) result(r Result) {
	i := slices.IndexFunc(d.s.Pending, func(e Effect) bool { return e.Key() == r.Key })
	if i < 0 {
		d.say("", "the result of %s came too late and decides nothing", r.Key)
		return
	}
	e := d.s.Pending[i]
	d.forget(r.Key)
	d.dropDeadline(r.Key)
	d.changed = true
	switch e.Step {
	case fairway.StepRetire:
		d.retired(e, r)
		return
	case fairway.StepRoute:
		d.routed(e, r)
		return
	case fairway.StepRemove:
		d.removed(e, r)
		return
	}
	x := d.s.Find(e.Delivery)
	if x == nil {
		d.say(e.Delivery, "the delivery has ended")
		return
	}
	switch e.Step {
	case fairway.StepConfigure:
		d.configured(x, r)
	case fairway.StepDeploy:
		d.deployed(x, r)
	case fairway.StepTest:
		d.tested(x, e, r)
	case fairway.StepEvaluate:
		d.evaluated(x, r)
	case fairway.StepRelease:
		d.released(x, e, r)
	case fairway.StepRollback:
		d.rolledBack(x, e, r)
	}
}

func (d *decider) configured(x *Delivery, r Result) {
	if !r.OK {
		d.fail(x, fairway.StatusFailed, r.Reason)
		return
	}
	if r.Digest != "" {
		x.Artifact.Digest = r.Digest
		for i, p := range d.s.Pushed {
			if p.Delivery == x.ID && p.Digest == "" {
				d.s.Pushed[i].Digest = r.Digest
			}
		}
	}
	x.record().Commit = r.Commit
	d.closeStep(x, "ok", r.Reason)
	x.Reason = d.say(x.ID, "%s", r.Reason)
	d.emit(x, fairway.TypeConfigurationChanged, x.Reason, nil)
	d.start(x, Effect{Step: fairway.StepDeploy})
}

func (d *decider) deployed(x *Delivery, r Result) {
	st := d.s.stage(x.plan())
	o := fairway.Occupant{Artifact: x.Artifact, Delivery: x.ID, Instance: x.Instance, State: fairway.OccupantRunning, Since: d.now, Commit: x.record().Commit}
	if !r.OK {
		// It never took the place: what lived there lives there still.
		d.fail(x, fairway.StatusFailed, r.Reason)
		return
	}
	st.Occupants[x.Colour] = o
	if x.plan().DeploymentStrategy == fairway.Direct {
		st.Weights = fairway.Full(fairway.Single)
		d.serves(x, true)
	}
	d.closeStep(x, "ok", r.Reason)
	x.Reason = d.say(x.ID, "%s", r.Reason)
	d.emit(x, fairway.TypeDeploymentFinished, x.Reason, func(v *fairway.EventData) { v.Detail = r.Detail })
	if r.Cut > 0 {
		d.emit(x, fairway.TypeDrainTimedOut, fmt.Sprintf("%d requests to the version before %s were still under way when the drain limit had passed and were cut off", r.Cut, x.Artifact.Tag), nil)
	}
	if x.releasesFirst() {
		d.start(x, Effect{Step: fairway.StepRelease, Weights: fairway.Full(x.Colour)})
		return
	}
	d.prove(x)
}

// releasesFirst reports whether traffic moves before the tests. The first
// version of a stage has nobody's traffic to protect or to lose, and would
// expose what is unproved: it always goes after the gate.
func (x *Delivery) releasesFirst() bool {
	p := x.plan()
	return p.DeploymentStrategy == fairway.BlueGreen && p.Release == fairway.ReleaseBeforeTests && x.Before.Weights != nil && !x.Moved
}

// prove starts the tests, or goes on where the stage has none.
func (d *decider) prove(x *Delivery) {
	if x.plan().TestStrategy == fairway.NoTests {
		d.agree(x, false)
		return
	}
	d.start(x, Effect{Step: fairway.StepTest})
}

func (d *decider) tested(x *Delivery, e Effect, r Result) {
	x.TestRun, x.Window = e.Attempt, r.Window
	passed := "pass"
	if !r.OK {
		passed = "fail"
	}
	x.Reason = d.say(x.ID, "%s", r.Reason)
	if r.Window != nil { // else the test did not run
		d.emit(x, fairway.TypeTestsFinished, r.Reason, func(v *fairway.EventData) {
			v.Result, v.Detail = passed, r.Detail
			v.StartedAt, v.FinishedAt = &r.Window.Start, &r.Window.End
		})
	}
	if !r.OK {
		d.fail(x, refusedOr(r, fairway.StatusFailed), r.Reason)
		return
	}
	d.closeStep(x, "ok", r.Reason)
	if x.plan().Gate == fairway.GateOff {
		d.agree(x, false)
		return
	}
	d.start(x, Effect{Step: fairway.StepEvaluate, Window: x.Window, TestRun: x.TestRun})
}

func refusedOr(r Result, other fairway.DeliveryStatus) fairway.DeliveryStatus {
	if r.Refused {
		return fairway.StatusRejected
	}
	return other
}

func (d *decider) evaluated(x *Delivery, r Result) {
	rec := x.record()
	rec.Evaluation, rec.Verdict, rec.Score = r.Evaluation, r.Verdict, r.Score
	p := x.plan()
	ok, status, reason := judge(p, r)
	x.Reason = d.say(x.ID, "%s", reason)
	d.emit(x, fairway.TypeEvaluationDone, reason, func(v *fairway.EventData) {
		v.EvaluationPassed, v.EvaluationID, v.Result, v.Score = &ok, r.Evaluation, string(r.Verdict), r.Score
		v.Detail = r.Detail
		if x.Window != nil {
			v.StartedAt, v.FinishedAt = &x.Window.Start, &x.Window.End
		}
	})
	if !ok {
		d.fail(x, status, reason)
		return
	}
	d.closeStep(x, "ok", reason)
	x.Warned = x.Warned || r.Verdict == fairway.VerdictWarning
	x.NotJudged = x.NotJudged || r.Verdict == fairway.VerdictNotJudged
	d.agree(x, r.Verdict == fairway.VerdictWarning && p.OnWarning == fairway.OnWarningApprove)
}

// judge says what a verdict leads to under the stage's policies.
func judge(p fairway.Stage, r Result) (ok bool, status fairway.DeliveryStatus, reason string) {
	switch r.Verdict {
	case fairway.VerdictPass:
		return true, "", r.Reason
	case fairway.VerdictWarning:
		if p.OnWarning == fairway.OnWarningStop {
			return false, fairway.StatusRejected, r.Reason + "; the stage says on_warning: stop"
		}
		return true, "", r.Reason
	case fairway.VerdictNotJudged:
		if p.Gate == fairway.GateRequired {
			return false, fairway.StatusRejected, r.Reason + "; the stage says gate: required"
		}
		return true, "", r.Reason
	case fairway.VerdictFail:
		return false, fairway.StatusRejected, r.Reason
	}
	return false, fairway.StatusFailed, r.Reason
}

// agree asks a person where the stage wants one, else goes on to the release.
func (d *decider) agree(x *Delivery, warned bool) {
	p := x.plan()
	if p.Approval != fairway.ApprovalManual && !warned {
		d.release(x)
		return
	}
	x.Step, x.Status = fairway.StepApprove, fairway.StatusWaiting
	d.openStep(x, fairway.StepApprove)
	why := "the stage says approval: manual"
	if warned {
		why = "the gate warned and the stage says on_warning: approve"
	}
	x.Reason = d.say(x.ID, "%s waits for a person in stage %s: %s; run: fairway approve %s --reason WHY, or fairway reject %s --reason WHY", x.Artifact.Tag, p.Name, why, x.ID.Short(), x.ID.Short())
	d.emit(x, fairway.TypeApprovalRequested, x.Reason, nil)
	d.answerAsked(d.s.stage(p))
	if newer := d.waitingBehind(x); newer != nil && p.Supersede == fairway.SupersedeAlways && supersedes(newer, x) {
		newer.inherit(x)
		d.fail(x, fairway.StatusSuperseded, fmt.Sprintf("newer %s waits already, and the stage says supersede: always", newer.Artifact.Tag))
	}
}

// waitingBehind returns a newer delivery that waits for the stage, or nil.
func (d *decider) waitingBehind(x *Delivery) *Delivery {
	for _, id := range d.s.stage(x.plan()).Queue {
		if w := d.s.Find(id); w != nil && w.Order > x.Order {
			return w
		}
	}
	return nil
}

// release moves the traffic, or ends the stage where it has moved before.
func (d *decider) release(x *Delivery) {
	if d.s.stage(x.plan()).Weights[x.Colour] == 100 {
		d.stageDone(x)
		return
	}
	d.start(x, Effect{Step: fairway.StepRelease, Weights: fairway.Full(x.Colour)})
}

func (d *decider) released(x *Delivery, e Effect, r Result) {
	if !r.OK {
		d.fail(x, fairway.StatusFailed, r.Reason)
		return
	}
	st := d.s.stage(x.plan())
	st.Weights, st.Stuck, st.ByHand = cloneWeights(e.Weights), "", false
	first := x.releasesFirst()
	d.serves(x, true)
	x.record().Released = r.Commit
	d.closeStep(x, "ok", r.Reason)
	x.Reason = d.say(x.ID, "%s", r.Reason)
	d.emit(x, fairway.TypeRouteChanged, r.Reason, func(v *fairway.EventData) { v.Weights = e.Weights })
	if first {
		d.prove(x)
		return
	}
	d.stageDone(x)
}

// serves notes that the delivery's version got traffic, or lost it again.
func (d *decider) serves(x *Delivery, has bool) {
	now := d.now
	x.Moved = has
	switch {
	case has && x.Served == nil:
		x.Served = &fairway.Served{From: now}
	case has:
		x.Served = &fairway.Served{From: x.Served.From}
	case x.Served != nil && x.Served.Until == nil:
		x.Served = &fairway.Served{From: x.Served.From, Until: &now}
	}
}

// stageDone marks the version released, arranges the end of its predecessor,
// and promotes the delivery.
func (d *decider) stageDone(x *Delivery) {
	p := x.plan()
	st := d.s.stage(p)
	o := st.Occupants[x.Colour]
	o.State, o.Since = fairway.OccupantReleased, d.now
	st.Occupants[x.Colour] = o
	if x.Served == nil { // somebody had moved all traffic by hand
		d.serves(x, true)
	}
	d.previous(x, p, st)
	d.closeStep(x, "ok", "")
	now := d.now
	x.record().EndedAt = &now
	reason := fmt.Sprintf("%s is released in stage %s", x.Artifact.Tag, p.Name)
	d.emit(x, fairway.TypeStageFinished, reason, func(v *fairway.EventData) { v.Weights = st.Weights })
	if x.At+1 == len(x.Plan) {
		x.Reason = fmt.Sprintf("%s passed every stage: %s", x.Artifact.Tag, fairway.Shipyard{Stages: x.Plan}.StageNames())
		if x.Only || x.Recall {
			x.Reason = fmt.Sprintf("%s is back in stage %s", x.Artifact.Tag, p.Name)
		}
		if x.Warned {
			x.Reason += ", with a warning"
		}
		d.end(x)
		return
	}
	d.leave(x)
	x.At++
	d.enter(x)
	if x.EndedAt == nil && x.Step == fairway.StepConfigure {
		x.Reason = d.say(x.ID, "%s; it goes on to stage %s", reason, x.plan().Name)
	}
}

// previous ends the life of the version that lost its traffic as the stage
// says: at once, after a while, or when its colour is needed.
func (d *decider) previous(x *Delivery, p fairway.Stage, st *Stage) {
	after, keep, err := p.Previous.Duration()
	if keep || err != nil || p.DeploymentStrategy != fairway.BlueGreen {
		return
	}
	o, ok := st.Occupants[x.Colour.Other()]
	if !ok || o.State == fairway.OccupantStopped || st.Weights[x.Colour.Other()] != 0 {
		return
	}
	e := d.retirement(x, p, x.Colour.Other(), o)
	if after == 0 {
		d.addRetire(e)
		return
	}
	d.s.Deadlines = append(d.s.Deadlines, Deadline{Key: "previous/" + e.Key(), At: d.now.Add(after), Start: &e})
}

// retirement is the effect that stops what runs in a place.
func (d *decider) retirement(x *Delivery, p fairway.Stage, c fairway.Colour, o fairway.Occupant) Effect {
	return Effect{
		Delivery: x.ID, Stage: p.Name, Step: fairway.StepRetire, Attempt: 1 + len(x.record().Steps),
		Plan: p, Colour: c, Artifact: o.Artifact, Instance: o.Instance,
	}
}

func (d *decider) addRetire(e Effect) {
	if slices.ContainsFunc(d.s.Pending, func(p Effect) bool { return p.Key() == e.Key() }) {
		return
	}
	d.s.Pending = append(d.s.Pending, e)
	d.arm(e)
	d.changed = true
}

func (d *decider) retired(e Effect, r Result) {
	data := fairway.EventData{
		Project: d.s.Project, Service: d.s.Service, Stage: e.Stage, Slot: e.Colour,
		Image: e.Artifact.Image, Tag: e.Artifact.Tag, Digest: e.Artifact.Digest,
	}
	d.say(e.Delivery, "%s", r.Reason)
	if !r.OK {
		if e.Tries == 0 {
			d.store(e.Delivery, fairway.TypeStopFailed, r.Reason+"; it is tried again until it stops", data)
		}
		d.later(e)
		return
	}
	st := d.s.stage(e.Plan)
	if o, ok := st.Occupants[e.Colour]; ok && o.Instance == e.Instance {
		if o.State != fairway.OccupantRejected {
			o.State = fairway.OccupantStopped
		}
		o.Since = d.now
		st.Occupants[e.Colour] = o
	}
	if r.Cut > 0 {
		d.store(e.Delivery, fairway.TypeDrainTimedOut, fmt.Sprintf("%d requests to %s were still under way when the drain limit had passed and were cut off", r.Cut, e.Artifact.Tag), data)
	}
	d.store(e.Delivery, fairway.TypeVersionStopped, r.Reason, data)
}

// later arranges that the effect is performed again, after a pause that
// doubles from five seconds to a minute.
func (d *decider) later(e Effect) {
	wait := min(5*time.Second<<min(e.Tries, 4), time.Minute)
	e.Tries++
	e.Attempt++
	d.s.Deadlines = append(d.s.Deadlines, Deadline{Key: "again/" + e.Key(), At: d.now.Add(wait), Start: &e})
}

// fail turns the delivery away: what it moved goes back first.
func (d *decider) fail(x *Delivery, status fairway.DeliveryStatus, reason string) {
	d.dropEffects(x)
	d.closeStep(x, "failed", reason)
	x.Failure = &Failure{Status: status, Step: x.Step, Reason: reason}
	x.Reason = d.say(x.ID, "%s", reason)
	p := x.plan()
	st := d.s.stage(p)
	holds := st.Holder == x.ID
	switch {
	case holds && x.Carried != nil && p.DeploymentStrategy == fairway.BlueGreen && liveCommit(st, x.Colour) != "":
		e := Effect{Step: fairway.StepRollback, Weights: cloneWeights(x.Before.Weights), PutBack: true}
		e.Still = !x.Moved && x.Step != fairway.StepRelease
		d.start(x, e)
	case !holds || x.Step == fairway.StepConfigure && p.DeploymentStrategy == fairway.BlueGreen:
		d.end(x)
	case p.DeploymentStrategy == fairway.Direct:
		d.failDirect(x, st)
	case x.Moved || x.Step == fairway.StepRelease:
		d.start(x, Effect{Step: fairway.StepRollback, Weights: cloneWeights(x.Before.Weights)})
	default:
		d.reject(x, st)
		d.end(x)
	}
}

// failDirect gives a direct stage its previous version back, where the stage
// asks for it and there is one.
func (d *decider) failDirect(x *Delivery, st *Stage) {
	p := x.plan()
	before := x.Before.Occupant
	if p.OnFailure == fairway.OnFailureRollback && before != nil {
		d.start(x, Effect{Step: fairway.StepRollback, Restore: before, PutBack: x.Carried != nil && before.Commit != ""})
		return
	}
	why := "the stage says on_failure: keep"
	if before == nil {
		why = "no version was released here before it"
	}
	if o, ok := st.Occupants[x.Colour]; ok && o.Delivery == x.ID {
		o.State = fairway.OccupantRejected
		st.Occupants[x.Colour] = o
		d.emit(x, fairway.TypeVersionKept, fmt.Sprintf("%s stays in stage %s although it was turned away: %s", x.Artifact.Tag, p.Name, why), nil)
	} else {
		d.reject(x, st)
	}
	d.end(x)
}

// reject marks the version in the delivery's colour as turned away and stops
// it. When it never took its place, it alone is stopped.
func (d *decider) reject(x *Delivery, st *Stage) {
	if x.Recall {
		return
	}
	if o, ok := st.Occupants[x.Colour]; ok && o.Delivery == x.ID {
		o.State = fairway.OccupantRejected
		st.Occupants[x.Colour] = o
	}
	if x.Instance != "" {
		d.addRetire(d.retirement(x, x.plan(), x.Colour, fairway.Occupant{Artifact: x.Artifact, Instance: x.Instance}))
	}
}

// giveUpAfter is how many attempts a rollback gets at least. It gets more for
// as long as no newer version waits that may be the remedy.
const giveUpAfter = 3

func (d *decider) rolledBack(x *Delivery, e Effect, r Result) {
	st := d.s.stage(x.plan())
	if !r.OK {
		d.rollbackFailed(x, e, r)
		return
	}
	d.closeStep(x, "ok", r.Reason)
	if !e.Still {
		d.serves(x, false)
	}
	if e.Restore != nil {
		o := *e.Restore
		o.State, o.Since = fairway.OccupantReleased, d.now
		if r.Instance != "" {
			o.Instance = r.Instance
		}
		st.Occupants[x.Colour] = o
	} else {
		if !e.Still {
			st.Weights, st.ByHand = cloneWeights(e.Weights), false
			d.emit(x, fairway.TypeRouteChanged, r.Reason, func(v *fairway.EventData) { v.Weights = e.Weights })
		}
		d.reject(x, st)
	}
	d.emit(x, fairway.TypeRolledBack, r.Reason, func(v *fairway.EventData) { v.Weights = st.Weights })
	d.end(x)
}

// rollbackFailed tries again: a version that was turned away must not keep
// its traffic because the way back was blocked for a while. The stage stays
// held meanwhile. Only when a newer version waits, which may be the remedy,
// is the attempt given up after a few tries.
func (d *decider) rollbackFailed(x *Delivery, e Effect, r Result) {
	d.closeStep(x, "failed", r.Reason)
	st := d.s.stage(x.plan())
	if o, ok := st.Occupants[x.Colour]; ok && o.Delivery == x.ID {
		o.State = fairway.OccupantRejected
		st.Occupants[x.Colour] = o
	}
	reason := d.say(x.ID, "rolling back stage %s failed and is tried again: %s", e.Stage, r.Reason)
	x.Reason = reason
	d.emit(x, fairway.TypeRollbackFailed, reason, nil)
	newer := d.waitingBehind(x)
	if newer == nil || e.Tries+1 < giveUpAfter {
		d.later(e)
		return
	}
	x.Failure.Status = fairway.StatusFailed
	x.Failure.Reason += fmt.Sprintf("; rolling back failed %d times and is given up for newer %s: %s", e.Tries+1, newer.Artifact.Tag, r.Reason)
	if e.Restore == nil && x.Moved {
		st.Weights, st.Stuck = fairway.Full(x.Colour), x.Failure.Reason
	}
	d.end(x)
}

// timer handles a deadline that has passed.
func (d *decider) timer(t Timer) {
	i := slices.IndexFunc(d.s.Deadlines, func(l Deadline) bool { return l.Key == t.Key })
	if i < 0 {
		d.say("", "the deadline of %s no longer matters", t.Key)
		return
	}
	l := d.s.Deadlines[i]
	if d.now.Before(l.At) {
		d.say("", "the deadline of %s has not passed yet", t.Key)
		return
	}
	d.dropDeadline(t.Key)
	d.changed = true
	if l.Start != nil {
		d.startLate(l)
		return
	}
	j := slices.IndexFunc(d.s.Pending, func(e Effect) bool { return e.Key() == t.Key })
	if j < 0 {
		d.say("", "the deadline of %s no longer matters", t.Key)
		return
	}
	e := d.s.Pending[j]
	reason := fmt.Sprintf("%s in stage %s did not finish within %s", e.Step, e.Stage, limit(e.Step).Round(time.Second))
	if t.Cause != "" {
		reason += ": " + t.Cause
	}
	d.result(Result{Key: t.Key, Reason: reason})
}

// startLate begins what a deadline was kept for.
func (d *decider) startLate(l Deadline) {
	e := *l.Start
	switch x := d.s.Find(e.Delivery); {
	case e.Step == fairway.StepRetire && strings.HasPrefix(l.Key, "previous/"):
		d.retirePrevious(e)
	case e.Step == fairway.StepRetire:
		d.say(e.Delivery, "%s is told to stop again", e.Artifact.Tag)
		d.addRetire(e)
	case e.Step == fairway.StepRemove:
		d.say(e.Delivery, "deleting is tried again")
		d.s.Pending = append(d.s.Pending, e)
		d.arm(e)
	case x != nil && x.Step == fairway.StepRollback:
		d.say(x.ID, "rolling back stage %s is tried again", e.Stage)
		x.Attempt = e.Attempt
		d.openStep(x, e.Step)
		d.s.Pending = append(d.s.Pending, e)
		d.arm(e)
	default:
		d.say(e.Delivery, "the delivery has ended; %s is not tried again", e.Step)
	}
}

func (d *decider) retirePrevious(e Effect) {
	st := d.s.stage(e.Plan)
	o, ok := st.Occupants[e.Colour]
	if !ok || o.Instance != e.Instance || st.Weights[e.Colour] > 0 {
		d.say(e.Delivery, "the previous version is no longer there or has traffic again; nothing is stopped")
		return
	}
	d.say(e.Delivery, "%s lost its traffic and its time is over", e.Artifact.Tag)
	d.addRetire(e)
}
