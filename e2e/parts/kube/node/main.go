// Command node is what Kubernetes runs on each machine: the name it is called
// by says which part. Called cri-clean, it removes all pods of a runtime.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "kubelet":
		os.Exit(cli.Run(kubelet.NewKubeletCommand(context.Background())))
	case "kube-proxy":
		os.Exit(cli.Run(proxy.NewProxyCommand()))
	case "cri-clean":
		if len(os.Args) != 2 {
			fmt.Fprintln(os.Stderr, "cri-clean: name the runtime's socket")
			os.Exit(2)
		}
		if err := clean(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "cri-clean:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintf(os.Stderr, "node: called as %q; make a link named kubelet, kube-proxy or cri-clean\n", name)
		os.Exit(2)
	}
}

// clean stops all containers and removes all pods. The runtime has CNI take
// back addresses, interfaces and rules of each pod meanwhile.
func clean(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	runtime := cri.NewRuntimeServiceClient(conn)
	containers, err := runtime.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers.Containers {
		// One that does not stop now falls with its pod.
		_, _ = runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: c.Id})
	}
	pods, err := runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	var failed []error
	for _, p := range pods.Items {
		_, err := runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.Id})
		failed = append(failed, err)
		_, err = runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.Id})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
