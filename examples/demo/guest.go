package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// guest is a login to the server.
type guest struct {
	publicKey string
	signer    ssh.Signer
	client    *ssh.Client
}

// newGuest makes a key and keeps it in the file.
func newGuest(path string) (*guest, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "nephos demo")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	return &guest{publicKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), signer: signer}, nil
}

// connect logs in as root, trying again while the guest is still starting. The
// host key is new with each guest and known from nowhere.
func (g *guest) connect(ctx context.Context, ip string) error {
	var last error
	err := poll(ctx, 90*time.Second, "ssh to "+ip, func() (bool, error) {
		var client *ssh.Client
		client, last = ssh.Dial("tcp", net.JoinHostPort(ip, "22"), &ssh.ClientConfig{
			User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(g.signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second,
		})
		if last != nil {
			return false, nil
		}
		g.client = client
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return nil
}

// run runs a command and returns what it wrote, on one line.
func (g *guest) run(command string) (string, error) {
	session, err := g.client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	text := strings.Join(strings.Split(strings.TrimSpace(string(out)), "\n"), ", ")
	if err != nil {
		return text, fmt.Errorf("%q in the guest: %w: %s", command, err, text)
	}
	return text, nil
}

func (g *guest) close() {
	if g.client != nil {
		_ = g.client.Close()
	}
}
