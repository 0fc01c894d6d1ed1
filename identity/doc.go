// Package identity decides who may act: it keeps domains, projects, users,
// groups, roles and who holds which role on what; it checks passwords, issues
// and verifies tokens, and lists the cloud's services in a catalog. It does
// Keystone's job; package keystone below it speaks the Identity API v3.
//
// A newcomer starts at [New], [Service.Bootstrap], which makes the first
// administrator, and [Service.Authenticate], which turns a password into a
// [Token]. Every other service needs only [Service.Verify].
//
// # Tokens
//
// A token is Keystone's own: a msgpack payload with ids and times inside a
// Fernet envelope, made with the primary key of a key repository. Nothing about
// it is stored. [Service.Verify] opens it, looks up what its ids stand for now
// (user, project, roles), and remembers the answer until anything in the
// identity tables changes, in this process or in another one on the same
// database: a verification of a known token costs no query, and a disabled user
// or a removed role is seen by the very next request.
//
// # Domains are projects
//
// As in Keystone, a domain is a project that acts as one: both share a table,
// a domain's id is good where a project's is expected in the resource API, and
// top-level projects have their domain as the parent.
package identity
