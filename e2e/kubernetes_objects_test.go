package e2e

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairwaycd/fairway"
)

func TestWhatBothColoursHaveStaysForTheOther(t *testing.T) {
	pt := newPlatformTest(t)
	both := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: both}\ndata: {a: b}\n"
	alone := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: alone-%s}\ndata: {a: b}\n"
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n"
	for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
		pt.run(pt.workload(c, "v-"+string(c), both, claim, fmt.Sprintf(alone, c), deployment("carts-"+string(c), "1", "")))
	}
	for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
		if err := pt.p.Stop(pt.within(time.Minute), "v-"+string(c)); err != nil {
			t.Fatal(err)
		}
		if pt.get("ConfigMap", "alone-"+string(c)) != nil {
			t.Errorf("what %s alone had is left", c)
		}
		if left := pt.get("ConfigMap", "both") != nil; left != (c == fairway.Blue) {
			t.Errorf("after %s was stopped, what both have is there: %v", c, left)
		}
	}
	if pt.get("PersistentVolumeClaim", "data") == nil {
		t.Error("a claim was deleted")
	}
}

func TestNothingIsLeftOfAForgottenService(t *testing.T) {
	pt := newPlatformTest(t)
	pt.run(pt.workload(fairway.Single, "one", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n", deployment("carts", "1", "")))
	if err := pt.p.Forget(pt.within(time.Minute), pt.ns, "carts"); err != nil || pt.get("ConfigMap", "settings") == nil {
		t.Errorf("a service that runs was forgotten: %v", err)
	}
	// Somebody deletes the workload while no Fairway looks.
	if err := pt.p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pt.client("Deployment").Delete(pt.within(20*time.Second), "carts", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	next := pt.start()
	if err := next.Stop(pt.within(time.Minute), "one"); err != nil {
		t.Fatal(err)
	}
	if err := next.Forget(pt.within(time.Minute), pt.ns, "carts"); err != nil {
		t.Fatal(err)
	}
	if pt.get("ConfigMap", "settings") != nil {
		t.Error("its ConfigMap is left")
	}
}
