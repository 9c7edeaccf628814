package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairwaycd/fairway"
)

const (
	firstBackoff = 100 * time.Millisecond
	mostBackoff  = 5 * time.Second
	// callLimit is how long a request is tried again before the caller hears
	// that the cluster cannot be asked.
	callLimit = 30 * time.Second
)

// call does one request and tries again what may pass: a cluster that cannot
// be reached, hangs, is overloaded or has lost a race. What is left is of a
// kind that users understand; what says what was being done.
func call(ctx context.Context, what string, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	wait := firstBackoff
	var last error
	for {
		err := once(ctx, do)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil && last != nil {
			err = last // says more than that the time is over
		}
		last = err
		if !passes(err) {
			return explain(what, err)
		}
		pause := wait/2 + rand.N(wait)
		if s, ok := apierrors.SuggestsClientDelay(err); ok && s > 0 {
			pause = time.Duration(s) * time.Second
		}
		select {
		case <-ctx.Done():
			return explain(what, err)
		case <-time.After(pause):
		}
		wait = min(2*wait, mostBackoff)
	}
}

func once(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestLimit, errHangs)
	defer cancel()
	err := do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errHangs) {
		return errHangs
	}
	return err
}

var errHangs = fmt.Errorf("the API server has not answered within %s", requestLimit)

// passes reports whether the same request may succeed a moment later.
func passes(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // it was not answered
	}
	switch s := status.Status(); {
	case malformed(s):
		return false
	case s.Code == http.StatusTooManyRequests, s.Code >= http.StatusInternalServerError, s.Code == http.StatusRequestTimeout:
		return true
	case s.Code == http.StatusConflict:
		return s.Reason == metav1.StatusReasonConflict && len(fieldConflicts(err)) == 0 && !changedUnderUs(s)
	case s.Code == http.StatusForbidden:
		return strings.Contains(s.Message, "because it is being terminated")
	}
	return false
}

// malformed reports what server-side apply answers with 500 and is wrong in
// the object all the same.
func malformed(s metav1.Status) bool {
	return strings.Contains(s.Message, "failed to create typed patch object") || strings.Contains(s.Message, "failed to create manager for existing fields")
}

// changedUnderUs reports that a precondition failed: the caller has to read again.
func changedUnderUs(s metav1.Status) bool {
	return strings.Contains(strings.ToLower(s.Message), "precondition")
}

// explain gives the error of a request a kind, and a remedy where there is one.
func explain(what string, err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: %w", what, err)
		}
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s: the cluster cannot be asked: %w", what, err))
	}
	s := status.Status()
	switch {
	case passes(err):
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s: %w", what, err))
	case s.Code == http.StatusUnauthorized:
		return fairway.Errorf(fairway.KindUnauthorized, "%s: the cluster does not accept Fairway's credentials (%w); renew those of the kubeconfig or service account", what, err)
	case s.Code == http.StatusForbidden && strings.Contains(s.Message, "exceeded quota"):
		return fairway.Errorf(fairway.KindRefused, "%s: %w; raise the namespace's quota, or ask for less", what, err)
	case s.Code == http.StatusForbidden:
		return fairway.Errorf(fairway.KindRefused, "%s: %w; give Fairway's account the right to do it", what, err)
	case s.Code == http.StatusNotFound:
		return fairway.Errorf(fairway.KindNotFound, "%s: %w", what, err)
	case s.Code == http.StatusConflict:
		return fairway.Errorf(fairway.KindConflict, "%s: %w", what, err)
	case s.Code == http.StatusUnprocessableEntity, s.Code == http.StatusBadRequest, malformed(s):
		return &fairway.Error{Kind: fairway.KindInvalid, Message: what + ": the cluster refuses the object", Cause: err}
	}
	return fairway.Errorf(fairway.KindRefused, "%s: %w", what, err)
}

// fieldConflict is a field that another manager has set to something else.
type fieldConflict struct{ manager, field string }

// fieldConflicts returns those that server-side apply reports.
func fieldConflicts(err error) []fieldConflict {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var out []fieldConflict
	for _, c := range status.Status().Details.Causes {
		if c.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		// conflict with "kubectl" with subresource "scale" using apps/v1
		_, rest, _ := strings.Cut(c.Message, `"`)
		name, _, _ := strings.Cut(rest, `"`)
		out = append(out, fieldConflict{name, c.Field})
	}
	return out
}
