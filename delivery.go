package fairway

import (
	"cmp"
	"slices"
	"time"
)

// Step is a cursor position of a delivery within a stage.
type Step string

// The steps, in the order of a stage whose release is after the gate.
const (
	StepQueue     Step = "queue"
	StepConfigure Step = "configure"
	StepDeploy    Step = "deploy"
	StepTest      Step = "test"
	StepEvaluate  Step = "evaluate"
	StepApprove   Step = "approve"
	StepRelease   Step = "release"
	StepRollback  Step = "rollback"
	StepRetire    Step = "retire"
	StepRoute     Step = "route"  // weights set by a person
	StepRemove    Step = "remove" // a service or project is deleted
	StepDone      Step = "done"
)

// DeliveryStatus says how a delivery is doing as a whole.
type DeliveryStatus string

// The statuses. All but the first two are ends.
const (
	StatusRunning    DeliveryStatus = "running"
	StatusWaiting    DeliveryStatus = "waiting" // for the stage, or for a person
	StatusFinished   DeliveryStatus = "finished"
	StatusFailed     DeliveryStatus = "failed"   // something broke
	StatusRejected   DeliveryStatus = "rejected" // turned away by test, gate or person
	StatusSuperseded DeliveryStatus = "superseded"
	StatusAborted    DeliveryStatus = "aborted"
)

// Ended reports whether the status is an end.
func (s DeliveryStatus) Ended() bool { return s != StatusRunning && s != StatusWaiting }

// Delivery is one artifact of one service on its way through the stages, as
// lists and pages show it.
type Delivery struct {
	ID        DeliveryID     `json:"id"`
	Project   ProjectName    `json:"project"`
	Service   ServiceName    `json:"service"`
	Artifact  Artifact       `json:"artifact"`
	Status    DeliveryStatus `json:"status"`
	Stage     StageName      `json:"stage,omitempty"`
	Step      Step           `json:"step,omitempty"`
	Colour    Colour         `json:"slot,omitempty"`
	Warned    bool           `json:"warned,omitempty"` // some gate warned on the way
	NotJudged bool           `json:"notJudged,omitempty"`
	Back      bool           `json:"back,omitempty"` // it brings a version back that was released before
	Paused    bool           `json:"paused,omitempty"`
	Reason    string         `json:"reason"` // the latest decision's
	StartedAt time.Time      `json:"startedAt"`
	UpdatedAt time.Time      `json:"updatedAt"`
	EndedAt   *time.Time     `json:"endedAt,omitempty"`
	Stages    []StageRecord  `json:"stages,omitempty"`
	// Served is when its version had traffic in Stage; nil when it had none.
	Served *Served `json:"served,omitempty"`
	// Carried is the configuration that the delivery brings along; nil for one
	// that runs an artifact with what is configured already.
	Carried *Carried `json:"carried,omitempty"`
}

// Served is when a version had traffic.
type Served struct {
	From time.Time `json:"from"`
	// Until is when it was taken back because the delivery failed; nil where
	// it was not.
	Until *time.Time `json:"until,omitempty"`
}

// Carried names a configuration in git that a delivery brings to its stages:
// of a push to a stage's branch, for that stage alone, or on main, for all.
type Carried struct {
	Branch string `json:"branch"`
	Commit string `json:"commit"`
	// Order counts the definitions of a service, and Earlier are those, oldest
	// first, that come before it and were not delivered by themselves.
	Order   uint64    `json:"order,omitempty"`
	Earlier []Defined `json:"earlier,omitempty"`
	// Colours are those whose own part a push changed, and Images those that a
	// push gave another image.
	Colours []Colour            `json:"slots,omitempty"`
	Images  map[Colour]Artifact `json:"images,omitempty"`
	// Present is set until it is known which version it is brought to: the one
	// that has the traffic when the delivery takes its first stage.
	Present bool `json:"present,omitempty"`
}

// MainBranch is the branch that holds what is the project's and no stage's.
const MainBranch = "main"

// Defined is a definition of a service: a commit on main, and which it is.
type Defined struct {
	Commit string `json:"commit"`
	Order  uint64 `json:"order,omitempty"`
}

// With returns the definitions of c and of other, both on main, as one that is
// brought along; either may be nil.
func (c *Carried) With(other *Carried) *Carried {
	var all []Defined
	for _, x := range []*Carried{c, other} {
		if x == nil {
			continue
		}
		for _, one := range append(slices.Clone(x.Earlier), Defined{x.Commit, x.Order}) {
			if !slices.ContainsFunc(all, func(have Defined) bool { return have.Commit == one.Commit }) {
				all = append(all, one)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b Defined) int { return cmp.Compare(a.Order, b.Order) })
	n := len(all) - 1
	return &Carried{Branch: MainBranch, Commit: all[n].Commit, Order: all[n].Order, Earlier: all[:n]}
}

// InStage reports whether the configuration is one stage's alone.
func (c *Carried) InStage() bool { return c != nil && c.Branch != MainBranch }

// Source returns the colour whose part is to run: the one that a push changed.
// That of the live colour counts when both were, since the other one may say
// what was tried before.
func (c *Carried) Source(idle, live Colour) Colour {
	changed := func(x Colour) bool {
		_, image := c.Images[x]
		return image || slices.Contains(c.Colours, x)
	}
	if live == "" || !changed(live) && changed(idle) || !c.InStage() {
		return idle
	}
	return live
}

// StageRecord is what happened to a delivery in one stage.
type StageRecord struct {
	Stage      StageName    `json:"stage"`
	Colour     Colour       `json:"slot,omitempty"`
	Commit     string       `json:"commit,omitempty"`        // that the stage's work is done from
	Released   string       `json:"releaseCommit,omitempty"` // that moved the traffic
	Steps      []StepRecord `json:"steps"`
	Evaluation string       `json:"evaluation,omitempty"` // id
	Verdict    Verdict      `json:"verdict,omitempty"`
	Score      *float64     `json:"score,omitempty"`
	EnteredAt  time.Time    `json:"enteredAt"`
	EndedAt    *time.Time   `json:"endedAt,omitempty"`
}

// StepRecord is one step of a delivery in a stage.
type StepRecord struct {
	Step      Step       `json:"step"`
	Attempt   int        `json:"attempt"`
	Outcome   string     `json:"outcome,omitempty"` // ok, failed; empty while it runs
	Reason    string     `json:"reason,omitempty"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
}

// Occupant is the version that lives in a place.
type Occupant struct {
	Artifact Artifact   `json:"artifact"`
	Delivery DeliveryID `json:"delivery"`
	Instance string     `json:"instance"`
	State    string     `json:"state"` // see the Occupant states
	Since    time.Time  `json:"since"`
	Commit   string     `json:"commit,omitempty"` // of the stage's branch that it runs from
}

// The states of an occupant.
const (
	OccupantStarting = "starting" // configured, not ready yet
	OccupantRunning  = "running"  // ready, under test or idle
	OccupantReleased = "released" // passed, has or had traffic
	OccupantRejected = "rejected" // turned away
	OccupantStopped  = "stopped"  // no longer runs
)

// StageView is what one stage of a service looks like now.
type StageView struct {
	Stage     StageName           `json:"stage"`
	Namespace Namespace           `json:"namespace"`
	Strategy  DeploymentStrategy  `json:"strategy"`
	Weights   Weights             `json:"weights,omitempty"`
	Occupants map[Colour]Occupant `json:"occupants,omitempty"`
	Holder    DeliveryID          `json:"holder,omitempty"`
	Queue     []DeliveryID        `json:"queue,omitempty"`
}

// ServiceView is what a service looks like now, in all stages.
type ServiceView struct {
	Project   ProjectName `json:"project"`
	Service   ServiceName `json:"service"`
	Stages    []StageView `json:"stages"`
	UpdatedAt time.Time   `json:"updatedAt"`
	// Since is when it was onboarded. What was delivered under its name before
	// is another service's, which was deleted.
	Since time.Time `json:"since,omitzero"`
}
