//! The integration tests: one binary, a database per test, the real router.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod annotators;
mod api_errors;
mod api_guards;
mod api_idempotency;
mod api_imports;
mod api_jobs;
mod api_media;
mod api_openapi;
mod api_paging;
mod api_reviews;
mod api_samples;
mod audit;
mod audit_beside;
mod browser;
mod bulk;
mod card;
mod guides;
mod imports;
mod jobs;
mod labels;
mod learning;
mod ledger;
mod live;
mod main_job;
mod measures;
mod oidc;
mod people;
mod postgres;
mod predict;
mod predictions;
mod queue;
mod queue_race;
mod retractions;
mod rooms;
mod rules;
mod scan_issues;
mod scans;
mod security;
mod settings;
mod snapshots;
mod support;
mod trail;
mod webhooks;
