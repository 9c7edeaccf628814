package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"time"
)

// An identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificates writes all that the parts know each other by, once per cluster.
func (c *Cluster) certificates() error {
	if _, err := os.Stat(c.path("certs", "ca.crt")); err == nil {
		return nil
	}
	ca, err := c.authority("ca", "cluster-ca")
	if err != nil {
		return err
	}
	front, err := c.authority("front-ca", "front-proxy-ca")
	if err != nil {
		return err
	}
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	const api = "kubernetes.default"
	node := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(c.IP)}
	err = errors.Join(
		c.issue("apiserver", ca, x509.Certificate{Subject: pkix.Name{CommonName: "kube-apiserver"}, ExtKeyUsage: []x509.ExtKeyUsage{server},
			DNSNames:    []string{"kubernetes", api, api + ".svc", api + ".svc.cluster.local", "localhost", NodeName},
			IPAddresses: append(node, net.ParseIP(serviceAPI))}),
		c.issue("kubelet", ca, x509.Certificate{Subject: pkix.Name{CommonName: "system:node:" + NodeName, Organization: []string{"system:nodes"}},
			ExtKeyUsage: []x509.ExtKeyUsage{server, client}, DNSNames: []string{NodeName, "localhost"}, IPAddresses: node}),
		c.issue("apiserver-kubelet-client", ca, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{client},
			Subject: pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}}}),
		c.issue("front-proxy", front, x509.Certificate{Subject: pkix.Name{CommonName: "front-proxy-client"}, ExtKeyUsage: []x509.ExtKeyUsage{client}}),
	)
	if err != nil {
		return err
	}
	// The pair that service accounts' tokens are signed with.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(c.writeKey("sa", key), c.writePEM("sa.pub", "PUBLIC KEY", public, 0o644))
}

func (c *Cluster) authority(file, name string) (identity, error) {
	return c.sign(file, identity{}, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature})
}

func (c *Cluster) issue(file string, by identity, what x509.Certificate) error {
	what.KeyUsage = x509.KeyUsageDigitalSignature
	_, err := c.sign(file, by, what)
	return err
}

// sign writes file.crt and file.key. No signer means that it signs itself.
func (c *Cluster) sign(file string, by identity, what x509.Certificate) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	if by.cert == nil {
		by = identity{&what, key}
	}
	what.BasicConstraintsValid = true
	what.NotBefore, what.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(10, 0, 0)
	if what.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return identity{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &what, by.cert, key.Public(), by.key)
	if err != nil {
		return identity{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, err
	}
	return identity{cert, key}, errors.Join(c.writeKey(file, key), c.writePEM(file+".crt", "CERTIFICATE", der, 0o644))
}

func (c *Cluster) writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return c.writePEM(file+".key", "EC PRIVATE KEY", der, 0o600)
}

func (c *Cluster) writePEM(file, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(c.path("certs", file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// users are those that tokens.csv lets in, by the kubeconfig of each.
var users = []struct{ name, group, kubeconfig string }{
	{"admin", "system:masters", "kubeconfig"},
	{"system:node:" + NodeName, "system:nodes", "kc/kubelet"},
	{"system:kube-controller-manager", "", "kc/cm"},
	{"system:kube-scheduler", "", "kc/sched"},
	{"system:kube-proxy", "", "kc/proxy"},
}

// kubeconfigs writes tokens and kubeconfigs, once per cluster.
func (c *Cluster) kubeconfigs() error {
	if _, err := os.Stat(c.Kubeconfig()); err == nil {
		return nil
	}
	ca, err := os.ReadFile(c.path("certs", "ca.crt"))
	if err != nil {
		return err
	}
	var tokens bytes.Buffer
	for i, u := range users {
		secret := make([]byte, 16)
		if _, err := rand.Read(secret); err != nil {
			return err
		}
		fmt.Fprintf(&tokens, "%x,%s,u%d", secret, u.name, i)
		if u.group != "" {
			fmt.Fprintf(&tokens, ",%q", u.group)
		}
		tokens.WriteByte('\n')
		config := strings.NewReplacer("@SERVER@", "https://"+net.JoinHostPort(c.IP, apiPort),
			"@CA@", base64.StdEncoding.EncodeToString(ca), "@TOKEN@", hex.EncodeToString(secret)).Replace(manifest("kubeconfig.yaml"))
		if err := os.WriteFile(c.path(u.kubeconfig), []byte(config), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(c.path("tokens.csv"), tokens.Bytes(), 0o600)
}
