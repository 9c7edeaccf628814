package sequence

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
)

// State is everything that decisions about one service depend on.
type State struct {
	Project fairway.ProjectName `json:"project"`
	Service fairway.ServiceName `json:"service"`
	// InSeq is the sequence of the last queue input that was decided; an input
	// with a sequence not above it was decided before.
	InSeq     uint64                       `json:"inSeq"`
	Onboarded bool                         `json:"onboarded"`
	Stages    map[fairway.StageName]*Stage `json:"stages,omitempty"`
	Open      []*Delivery                  `json:"open,omitempty"`    // in order of acceptance
	Recent    []Ended                      `json:"recent,omitempty"`  // the last ended deliveries, oldest first
	Pushed    []Push                       `json:"pushed,omitempty"`  // the last pushed tags, oldest first
	Handled   []string                     `json:"handled,omitempty"` // the last pushes to git, as STAGE@COMMIT, oldest first
	Foreign   []string                     `json:"foreign,omitempty"` // the last events of others, oldest first
	// Defined is a definition of the service that came before anything was
	// delivered; the first delivery brings it along.
	Defined   *fairway.Carried `json:"defined,omitempty"`
	Pending   []Effect         `json:"pending,omitempty"`
	Deadlines []Deadline       `json:"deadlines,omitempty"`
	Accepted  uint64           `json:"accepted"`       // deliveries accepted so far; the next one's Order
	Since     time.Time        `json:"since,omitzero"` // when it was onboarded
	// Removal is set while the service is being deleted, Gone once it has
	// been, until the next deletion. Lives counts the deletions.
	Removal   *Removal  `json:"removal,omitempty"`
	Gone      *Removal  `json:"gone,omitempty"`
	Lives     int       `json:"lives,omitempty"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Stage is what a stage of the service looks like to the engine.
type Stage struct {
	Plan      fairway.Stage                       `json:"plan"` // of the delivery that entered last
	Weights   fairway.Weights                     `json:"weights,omitempty"`
	Occupants map[fairway.Colour]fairway.Occupant `json:"occupants,omitempty"`
	Holder    fairway.DeliveryID                  `json:"holder,omitempty"`
	Queue     []fairway.DeliveryID                `json:"queue,omitempty"`
	// Route is the key of the effect by which a person changes the weights;
	// while it is under way the stage takes no delivery.
	Route string `json:"route,omitempty"`
	// Asked are weights that were pushed while somebody else moved them.
	Asked *Command `json:"asked,omitempty"`
	// ByHand is set while the weights are a person's.
	ByHand bool `json:"byHand,omitempty"`
	// Stuck says why a version that was turned away has the traffic still.
	Stuck string `json:"stuck,omitempty"`
}

// Delivery is an open delivery.
type Delivery struct {
	fairway.Delivery
	Order    uint64          `json:"order"` // newer = accepted later = larger
	Plan     []fairway.Stage `json:"plan"`  // the shipyard's stages when it was accepted
	At       int             `json:"at"`    // index into Plan
	Attempt  int             `json:"attempt"`
	Moved    bool            `json:"moved,omitempty"`  // traffic went to it in this stage before its proof
	Before   *Before         `json:"before,omitempty"` // what the stage goes back to
	Instance string          `json:"instance,omitempty"`
	Window   *fairway.Window `json:"window,omitempty"` // of the last test
	TestRun  int             `json:"testRun,omitempty"`
	Judged   bool            `json:"judged,omitempty"` // Verdict of the current stage is known
	Failure  *Failure        `json:"failure,omitempty"`
	Held     *Effect         `json:"held,omitempty"` // what begins when a paused delivery is resumed
	// Only is set when it was asked for in one stage alone.
	Only bool `json:"only,omitempty"`
	// Recall is set when a released version is called back by weights alone:
	// what runs is not the delivery's own and is not stopped when it fails.
	Recall bool `json:"recall,omitempty"`
	// Also are sequences of the log where records about it are stored under
	// another delivery's name. The controller keeps them; nothing is decided
	// by them.
	Also []uint64 `json:"also,omitempty"`
}

// Before is the state of a stage that a failed delivery restores.
type Before struct {
	Weights  fairway.Weights   `json:"weights,omitempty"`
	Occupant *fairway.Occupant `json:"occupant,omitempty"` // of the same place, in a direct stage
}

// Failure is how a delivery will end once it has been undone.
type Failure struct {
	Status fairway.DeliveryStatus `json:"status"`
	Step   fairway.Step           `json:"step"`
	Reason string                 `json:"reason"`
}

// Ended is what is remembered of an ended delivery, to know a duplicate.
type Ended struct {
	ID       fairway.DeliveryID     `json:"id"`
	Tag      string                 `json:"tag"`
	Status   fairway.DeliveryStatus `json:"status"`
	Finished bool                   `json:"finished,omitempty"`
}

// Push is a pushed tag and the delivery that it started.
type Push struct {
	Image    string             `json:"image"` // without the host of Fairway's own registry
	Tag      string             `json:"tag"`
	Digest   string             `json:"digest"`
	Delivery fairway.DeliveryID `json:"delivery"`
}

// How much is remembered.
const (
	keepRecent = 64
	keepPushed = 32
)

// Effect is something to be performed. It is idempotent and finds its own
// trace by Key, so that performing it again after a crash changes nothing.
type Effect struct {
	Delivery fairway.DeliveryID `json:"delivery"`
	Stage    fairway.StageName  `json:"stage"`
	Step     fairway.Step       `json:"step"`
	Attempt  int                `json:"attempt"`

	Plan     fairway.Stage     `json:"plan"`
	Colour   fairway.Colour    `json:"slot,omitempty"`
	Artifact fairway.Artifact  `json:"artifact"`
	Commit   string            `json:"commit,omitempty"`
	Instance string            `json:"instance,omitempty"`
	Weights  fairway.Weights   `json:"weights,omitempty"` // release and rollback: the split to reach
	Restore  *fairway.Occupant `json:"restore,omitempty"` // rollback of a direct stage
	Window   *fairway.Window   `json:"window,omitempty"`  // evaluate
	TestRun  int               `json:"testRun,omitempty"` // evaluate: attempt of the test it judges
	Actor    string            `json:"actor,omitempty"`   // route: who asked for it
	Why      string            `json:"why,omitempty"`
	// PutBack is set when git is to say again what is in force, and Still when
	// the weights are not to change with it.
	PutBack bool `json:"putBack,omitempty"`
	Still   bool `json:"still,omitempty"`
	// Carried is what a configure brings along, and Live the commit from which
	// the colour with the traffic runs; empty when there is none.
	Carried *fairway.Carried `json:"carried,omitempty"`
	Live    string           `json:"live,omitempty"`
	// Remove says what is to be left of a service or project that is deleted.
	Remove *Remains `json:"remove,omitempty"`
	// Tries counts how often it failed before, for what is tried until it works.
	Tries int `json:"tries,omitempty"`
}

// Key identifies the effect within its service.
func (e Effect) Key() string {
	return fairway.RunID(e.Delivery, e.Stage, e.Attempt) + "/" + string(e.Step)
}

// Place is where the effect acts.
func (e Effect) Place(s fairway.ServiceName) fairway.Place {
	return fairway.Place{Namespace: e.Plan.Namespace, Service: s, Colour: e.Colour}
}

// Deadline is a moment at which the engine wants to be asked again.
type Deadline struct {
	Key string    `json:"key"` // Effect.Key, or a key of its own for what starts later
	At  time.Time `json:"at"`
	// Start is set when the deadline begins something instead of ending it:
	// a previous version is stopped, or what failed is tried again.
	Start *Effect `json:"start,omitempty"`
}

// Clone returns a deep copy: decisions are made on a copy, so that a failed
// append leaves nothing mutated.
func (s *State) Clone() *State {
	b, err := json.Marshal(s)
	if err != nil {
		panic("sequence: state cannot be encoded: " + err.Error())
	}
	var c State
	if err := json.Unmarshal(b, &c); err != nil {
		panic("sequence: state cannot be decoded: " + err.Error())
	}
	return &c
}

// Find returns the open delivery of that id, or nil.
func (s *State) Find(id fairway.DeliveryID) *Delivery {
	for _, d := range s.Open {
		if d.ID == id {
			return d
		}
	}
	return nil
}

func (s *State) ended(id fairway.DeliveryID) (Ended, bool) {
	for _, e := range s.Recent {
		if e.ID == id {
			return e, true
		}
	}
	return Ended{}, false
}

// pushed finds the last push of the tag.
func (s *State) pushed(in Artifact) (Push, bool) {
	for _, p := range slices.Backward(s.Pushed) {
		if p.Image == in.repository() && p.Tag == in.Artifact.Tag {
			return p, true
		}
	}
	return Push{}, false
}

// repository is what a push is known by. The host of Fairway's own registry
// does not count, since its address may change.
func (in Artifact) repository() string {
	if in.Elsewhere {
		return in.Artifact.Image
	}
	return in.Artifact.Path()
}

func (s *State) rememberPush(in Artifact, id fairway.DeliveryID) {
	a := in.Artifact
	s.Pushed = slices.DeleteFunc(s.Pushed, func(p Push) bool { return p.Image == in.repository() && p.Tag == a.Tag })
	s.Pushed = append(s.Pushed, Push{Image: in.repository(), Tag: a.Tag, Digest: a.Digest, Delivery: id})
	if n := len(s.Pushed) - keepPushed; n > 0 {
		s.Pushed = slices.Delete(s.Pushed, 0, n)
	}
}

// Stage returns the named stage's state, making it when it is new.
func (s *State) stage(plan fairway.Stage) *Stage {
	if s.Stages == nil {
		s.Stages = map[fairway.StageName]*Stage{}
	}
	st := s.Stages[plan.Name]
	if st == nil {
		st = &Stage{Plan: plan, Occupants: map[fairway.Colour]fairway.Occupant{}}
		s.Stages[plan.Name] = st
	}
	if st.Occupants == nil {
		st.Occupants = map[fairway.Colour]fairway.Occupant{}
	}
	return st
}

func (d *Delivery) plan() fairway.Stage { return d.Plan[d.At] }

// record returns the record of the current stage.
func (d *Delivery) record() *fairway.StageRecord {
	if len(d.Stages) == 0 {
		return &fairway.StageRecord{}
	}
	return &d.Stages[len(d.Stages)-1]
}

// View returns what people see of the service.
func (s *State) View() fairway.ServiceView {
	v := fairway.ServiceView{Project: s.Project, Service: s.Service, UpdatedAt: s.UpdatedAt, Since: s.Since}
	for name, st := range s.Stages {
		v.Stages = append(v.Stages, fairway.StageView{
			Stage: name, Namespace: st.Plan.Namespace, Strategy: st.Plan.DeploymentStrategy,
			Weights: st.Weights, Occupants: st.Occupants, Holder: st.Holder, Queue: st.Queue,
		})
	}
	slices.SortFunc(v.Stages, func(a, b fairway.StageView) int {
		if a.Stage < b.Stage {
			return -1
		}
		return 1
	})
	return v
}
