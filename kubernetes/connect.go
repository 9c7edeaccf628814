package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairwaycd/fairway"
)

// Connect returns how the cluster is reached. Where both arguments are empty
// and Fairway runs as a pod, that is its service account; else it is the named
// context, or the current one, of the kubeconfig file, $KUBECONFIG or
// ~/.kube/config. Nothing is asked of the cluster yet.
func Connect(kubeconfig, context string) (*rest.Config, error) {
	c, err := connect(kubeconfig, context)
	if err != nil {
		return nil, err
	}
	// A burst of deliveries is not to wait for itself; the cluster defends
	// itself with 429, which is honoured.
	c.QPS, c.Burst = 100, 200
	c.UserAgent = manager
	// Warnings of the cluster are about charts; ours say the same in words.
	c.WarningHandlerWithContext = rest.NoWarnings{}
	return c, nil
}

func connect(kubeconfig, context string) (*rest.Config, error) {
	if kubeconfig == "" && context == "" {
		c, err := rest.InClusterConfig()
		if !errors.Is(err, rest.ErrNotInCluster) && !errors.Is(err, fs.ErrNotExist) {
			return c, err
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	switch {
	case err == nil:
		return c, nil
	case clientcmd.IsEmptyConfig(err):
		return nil, fairway.Invalid("kubeconfig", kubeconfig, "names no cluster: "+err.Error(),
			"give --kubeconfig FILE, set KUBECONFIG, or run Fairway in the cluster")
	}
	return nil, fairway.Invalid("kubeconfig", kubeconfig, fmt.Sprintf("cannot be used: %v", err), "see which contexts there are: kubectl config get-contexts")
}

// requestLimit bounds one request that is no watch: an API server that hangs
// is asked again.
const requestLimit = 15 * time.Second
