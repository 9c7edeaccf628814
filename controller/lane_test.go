package controller_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/sequence"
)

// unreadable is a configuration in which one project cannot be read.
type unreadable struct {
	controller.Configuration
	project fairway.ProjectName
	broken  *atomic.Bool
}

func (u unreadable) Plan(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) ([]fairway.Stage, error) {
	if p == u.project && u.broken.Load() {
		return nil, fairway.Errorf(fairway.KindInternal, "the repository of project %s is damaged", p)
	}
	return u.Configuration.Plan(ctx, p, s)
}

// A project that cannot be read keeps back its own inputs, in their order, and
// nobody else's. Nothing of it is lost in a restart.
func TestAProjectThatCannotBeReadHoldsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), inmem.NewWorld([]fairway.Stage{fairway.Stage{Name: "dev", Supersede: fairway.SupersedeNever}.WithDefaults()})
	broken := &atomic.Bool{}
	edit := func(o *controller.Options) { o.Configuration = unreadable{o.Configuration, "bad", broken} }
	s := startWith(t, dir, w, false, edit)
	var good fairway.ServiceName // of the shard of bad's service
	for n := 0; good == "" || s.log.Shard("shop", good) != s.log.Shard("bad", "web"); n++ {
		good = fairway.ServiceName(fmt.Sprintf("web%d", n))
	}
	send := func(p fairway.ProjectName, name fairway.ServiceName, id string, in sequence.Input) {
		t.Helper()
		if err := s.Store(t.Context(), p, name, id, in); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []struct {
		p fairway.ProjectName
		s fairway.ServiceName
	}{{"bad", "web"}, {"shop", good}} {
		send(k.p, k.s, "onboard"+string(k.s), sequence.Input{Onboard: &sequence.Onboard{}})
	}
	broken.Store(true)
	for n := range 5 {
		send("bad", "web", fmt.Sprint("bad", n), artifact(fmt.Sprint("b", n)))
	}
	for n := range 5 {
		send("shop", good, fmt.Sprint("good", n), artifact(fmt.Sprint("g", n)))
	}
	s.until(t, "the others' end", s.ended(5))
	s.stop()

	s = startWith(t, dir, w, false, edit)
	defer func() { s.stop() }()
	send("bad", "web", "bad5", artifact("b5"))
	send("shop", good, "good5", artifact("g5"))
	s.until(t, "the others' end after a restart", s.ended(6))
	if ds := s.view.Deliveries(controller.DeliveryFilter{Project: "bad"}); len(ds) != 0 {
		t.Fatalf("what cannot be read was delivered: %+v", ds)
	}
	broken.Store(false)
	s.until(t, "the end of what was held", s.ended(12))
	var tags []string
	for _, d := range slices.Backward(s.view.Deliveries(controller.DeliveryFilter{Project: "bad"})) {
		tags = append(tags, d.Artifact.Tag)
	}
	if want := []string{"b0", "b1", "b2", "b3", "b4", "b5"}; !slices.Equal(tags, want) {
		t.Errorf("deliveries in the order %v, want %v", tags, want)
	}
}
