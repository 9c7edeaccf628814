package kubernetes

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairwaycd/fairway"
)

var pods = schema.GroupResource{Resource: "pods"}

func answer(code int32, reason metav1.StatusReason, message string, causes ...metav1.StatusCause) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message, Details: &metav1.StatusDetails{Causes: causes}}}
}

func TestErrorsOfTheCluster(t *testing.T) {
	t.Parallel()
	theirs := metav1.StatusCause{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.paused", Message: `conflict with "kubectl-edit" using apps/v1`}
	for _, c := range []struct {
		name   string
		err    error
		passes bool
		kind   fairway.Kind
		says   string
	}{
		{"away", io.ErrUnexpectedEOF, true, fairway.KindUnavailable, "cannot be asked"},
		{"hangs", errHangs, true, fairway.KindUnavailable, "has not answered"},
		{"overloaded", apierrors.NewTooManyRequests("later", 7), true, fairway.KindUnavailable, ""},
		{"broken", apierrors.NewInternalError(errors.New("etcd")), true, fairway.KindUnavailable, ""},
		{"wrong type", answer(500, "", "failed to create typed patch object: expected string, got 1"), false, fairway.KindInvalid, "refuses the object"},
		{"lost race", apierrors.NewConflict(pods, "a", errors.New("modified")), true, fairway.KindUnavailable, ""},
		{"changed under us", answer(409, metav1.StatusReasonConflict, "Precondition failed: UID"), false, fairway.KindConflict, ""},
		{"changed since", answer(409, metav1.StatusReasonConflict, "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (2)"), false, fairway.KindConflict, ""},
		{"field of another", answer(409, metav1.StatusReasonConflict, "Apply failed", theirs), false, fairway.KindConflict, ""},
		{"exists", apierrors.NewAlreadyExists(pods, "a"), false, fairway.KindConflict, ""},
		{"no right", apierrors.NewForbidden(pods, "a", errors.New("no")), false, fairway.KindRefused, "right to do it"},
		{"quota", apierrors.NewForbidden(pods, "a", errors.New("exceeded quota: q")), false, fairway.KindRefused, "raise the namespace's quota"},
		{"namespace is ending", apierrors.NewForbidden(pods, "a", errors.New("unable to create new content in namespace x because it is being terminated")), true, fairway.KindUnavailable, ""},
		{"credentials", apierrors.NewUnauthorized("no"), false, fairway.KindUnauthorized, "renew"},
		{"not there", apierrors.NewNotFound(pods, "a"), false, fairway.KindNotFound, ""},
		{"invalid", answer(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "spec.x"), false, fairway.KindInvalid, "refuses the object"},
	} {
		if got := passes(c.err); got != c.passes {
			t.Errorf("%s: passes is %v", c.name, got)
		}
		err := explain("apply it", c.err)
		if fairway.KindOf(err) != c.kind || fairway.IsRetryable(err) != c.passes || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "apply it") {
			t.Errorf("%s: %s, retryable %v: %v", c.name, fairway.KindOf(err), fairway.IsRetryable(err), err)
		}
	}
	if got := fieldConflicts(answer(409, metav1.StatusReasonConflict, "", theirs)); len(got) != 1 || got[0] != (fieldConflict{"kubectl-edit", ".spec.paused"}) {
		t.Errorf("conflicts: %v", got)
	}
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, n := time.Now(), 0
		err := call(t.Context(), "ask", func(context.Context) error {
			if n++; n == 1 {
				return apierrors.NewTooManyRequests("later", 7)
			}
			return nil
		})
		if err != nil || n != 2 || time.Since(began) != 7*time.Second {
			t.Errorf("%d requests in %s: %v", n, time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := call(t.Context(), "ask", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		if !fairway.IsRetryable(err) || !strings.Contains(err.Error(), "has not answered within 15s") || time.Since(began) > callLimit {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := 0
		err := call(t.Context(), "ask", func(context.Context) error { n++; return apierrors.NewUnauthorized("no") })
		if n != 1 || fairway.KindOf(err) != fairway.KindUnauthorized {
			t.Errorf("%d requests: %v", n, err)
		}
	})
}
