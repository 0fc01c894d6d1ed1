package metadata

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Server is what is known of a server.
type Server struct {
	ID, Name, Hostname, ProjectID, Zone string
	LaunchIndex                         int
	ReservationID                       string
	FlavorName, ImageID                 string
	Metadata                            map[string]string
	KeyName, KeyData                    string // of the public key, in OpenSSH's form
	UserData                            string // in base64
	RootDevice                          string // /dev/vda
	SecurityGroups                      []string
	Cards                               []Card
	Disks                               []Disk // volumes
	Files                               []File
	Password                            string // as the guest posted it
	// Seed makes the guest's random seed; empty: it gets none.
	Seed []byte
}

// Card is a network card.
type Card struct {
	ID, MAC, NetworkID, Tag string
	MTU                     int
	Addresses               []Address
}

// Address is a fixed address of a card.
type Address struct {
	IP       string
	Floating []string
	Subnet   Subnet
}

// Subnet is what a guest needs to know of an address's subnet.
type Subnet struct {
	ID       string   `json:",omitempty"`
	CIDR     string   `json:",omitempty"`
	Gateway  string   `json:",omitempty"` // empty: none
	IPv6Mode string   `json:",omitempty"`
	DHCP     bool     `json:",omitempty"`
	DNS      []string `json:",omitempty"`
	Routes   []Route  `json:",omitempty"`
}

// Route is a static route.
type Route struct{ Destination, NextHop string }

// Disk is a volume with a tag.
type Disk struct{ Tag, Serial, Device, Bus string }

// File is a file that the user wants in the guest.
type File struct {
	Path string
	Data []byte
}

// Render returns the files by path.
func Render(s Server) map[string][]byte {
	files := make(map[string][]byte, 32)
	var userData []byte
	if s.UserData != "" {
		userData, _ = base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(s.UserData))
	}
	renderOpenStack(s, userData, files)
	renderEC2(s, userData, files)
	return files
}

// Aliases are further names of folders.
func Aliases() map[string]string {
	out := make(map[string]string, 20)
	for _, v := range []string{
		"2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27", "2020-10-14",
	} {
		out["openstack/"+v] = "openstack/latest"
	}
	for _, v := range []string{
		"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04",
	} {
		out[v] = "latest"
	}
	return out
}

type keyEntry struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Data string `json:"data"`
}

type fileEntry struct {
	ContentPath string `json:"content_path"`
	Path        string `json:"path"`
}

type deviceEntry struct {
	Type    string   `json:"type"`
	MAC     string   `json:"mac,omitempty"`
	Serial  string   `json:"serial,omitempty"`
	Path    string   `json:"path,omitempty"`
	Bus     string   `json:"bus"`
	Address string   `json:"address"`
	Tags    []string `json:"tags"`
}

type metaData struct {
	UUID          string            `json:"uuid"`
	Meta          map[string]string `json:"meta,omitempty"`
	Files         []fileEntry       `json:"files,omitempty"`
	PublicKeys    map[string]string `json:"public_keys,omitempty"`
	Keys          []keyEntry        `json:"keys,omitempty"`
	Hostname      string            `json:"hostname"`
	Name          string            `json:"name"`
	LaunchIndex   int               `json:"launch_index"`
	Zone          string            `json:"availability_zone"`
	RandomSeed    string            `json:"random_seed,omitempty"`
	ProjectID     string            `json:"project_id"`
	Devices       []deviceEntry     `json:"devices"`
	DedicatedCPUs []int             `json:"dedicated_cpus"`
}

func renderOpenStack(s Server, userData []byte, files map[string][]byte) {
	md := metaData{
		UUID: s.ID, Meta: s.Metadata, Hostname: s.Hostname, Name: s.Name, LaunchIndex: s.LaunchIndex, Zone: s.Zone,
		ProjectID: s.ProjectID, Devices: []deviceEntry{}, DedicatedCPUs: []int{}, RandomSeed: randomSeed(s.Seed),
	}
	if s.KeyName != "" && s.KeyData != "" {
		md.PublicKeys = map[string]string{s.KeyName: s.KeyData}
		md.Keys = []keyEntry{{s.KeyName, "ssh", s.KeyData}}
	}
	for i, f := range s.Files {
		name := fmt.Sprintf("%04d", i)
		md.Files = append(md.Files, fileEntry{"/content/" + name, f.Path})
		files["openstack/content/"+name] = f.Data
	}
	for _, c := range s.Cards {
		if c.Tag != "" {
			md.Devices = append(md.Devices, deviceEntry{Type: "nic", MAC: c.MAC, Bus: "pci", Address: "none", Tags: []string{c.Tag}})
		}
	}
	for _, d := range s.Disks {
		if d.Tag != "" {
			md.Devices = append(md.Devices, deviceEntry{Type: "disk", Serial: d.Serial, Path: d.Device, Bus: "none", Address: "none", Tags: []string{d.Tag}})
		}
	}
	const dir = "openstack/latest/"
	files[dir+"meta_data.json"] = encode(md)
	files[dir+"network_data.json"] = encode(networkData(s.Cards))
	files[dir+"vendor_data.json"] = []byte("{}")
	files[dir+"vendor_data2.json"] = []byte(`{"static": {}}`)
	files[dir+"password"] = []byte(s.Password)
	if userData != nil {
		files[dir+"user_data"] = userData
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("metadata: " + err.Error()) // the types above always encode
	}
	return b
}

// randomSeed stretches the seed to 512 bytes, in base64.
func randomSeed(seed []byte) string {
	if len(seed) == 0 {
		return ""
	}
	var out []byte
	for i := range uint64(8) {
		sum := sha512.Sum512(binary.BigEndian.AppendUint64([]byte(seed), i))
		out = append(out, sum[:]...)
	}
	return base64.StdEncoding.EncodeToString(out)
}

func renderEC2(s Server, userData []byte, files map[string][]byte) {
	local, public := "", ""
	for _, c := range s.Cards {
		for _, a := range c.Addresses {
			if local == "" && strings.Contains(a.IP, ".") {
				local = a.IP
			}
			for _, f := range a.Floating {
				if public == "" {
					public = f
				}
			}
		}
	}
	put := func(name, value string) { files["latest/meta-data/"+name] = []byte(value) }
	put("ami-id", ec2ID("ami-", s.ImageID))
	put("ami-launch-index", strconv.Itoa(s.LaunchIndex))
	put("ami-manifest-path", "FIXME")
	put("block-device-mapping/ami", strings.TrimPrefix(s.RootDevice, "/dev/"))
	put("block-device-mapping/root", s.RootDevice)
	put("hostname", s.Hostname)
	put("instance-action", "none")
	put("instance-id", ec2ID("i-", s.ID))
	put("instance-type", s.FlavorName)
	put("local-hostname", s.Hostname)
	put("local-ipv4", local)
	put("placement/availability-zone", s.Zone)
	put("public-hostname", s.Hostname)
	put("public-ipv4", public)
	put("reservation-id", s.ReservationID)
	put("security-groups", strings.Join(s.SecurityGroups, "\n"))
	if s.KeyName != "" && s.KeyData != "" {
		// The listing of public-keys is "0=name", as nowhere else in the layout.
		put("public-keys", "0="+path.Base(s.KeyName))
		put("public-keys/0", "openssh-key")
		put("public-keys/0/openssh-key", s.KeyData)
	}
	if userData != nil {
		files["latest/user-data"] = userData
	}
}

// ec2ID makes an id of EC2's form, the same for the same UUID.
func ec2ID(prefix, id string) string {
	sum := sha512.Sum512([]byte(id))
	return prefix + hex.EncodeToString(sum[:4])
}
