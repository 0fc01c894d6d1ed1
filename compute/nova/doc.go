// Package nova speaks the Compute API v2.1 over compute's interfaces.
//
// Reference: https://docs.openstack.org/api-ref/compute/, with the history of
// microversions at https://docs.openstack.org/nova/latest/reference/api-microversion-history.html.
//
// Handlers speak the newest microversion. What older ones lacked is taken back
// by the edits of each resource (httpapi.Edits), and what they took or refused
// is looked up in the resource's schema for the version asked for. Actions that
// exist in Nova and are not built here answer 501.
package nova
