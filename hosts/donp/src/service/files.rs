//! Files that messages name, from JSON to JSON.

use std::path::Path;
use std::time::Instant;

use donp_core::{Content, Conversation, FileId, FileInfo, Message, NodeId};
use donp_runtime::api;
use serde_json::{Value, json};

use super::{POLL_INTERVAL, Service, Wait, left, text_of, wait_of};
use crate::failure::{Exit, Failure};
use crate::json::{self, object};
use crate::resolve;

/// Characters of an id that name a file, as for messages.
const LEAST: usize = 6;

impl Service {
    /// A method about files; none if there is no such method.
    pub(super) fn file_call(
        &self,
        method: &str,
        params: &Value,
        gone: &dyn Fn() -> bool,
    ) -> Option<Result<Value, Failure>> {
        Some(match method {
            "files" => self.files(),
            "fetch_file" => self.fetch_file(params, gone),
            "save_file" => self.save_file(params),
            "remove_file" => self.remove_file(params),
            _ => return None,
        })
    }

    /// What a message says that names the file at a path: it is read here, in the process that has the profile.
    pub(super) fn file_content(&self, path: &str, text: &str) -> Result<Content, Failure> {
        if !Path::new(path).is_absolute() {
            return Err(Failure::usage("'file' is a path from the root: the node has a folder of its own"));
        }
        Ok(Content::File { file: Box::new(self.node.add_file(Path::new(path), "")?), text: text.into() })
    }

    /// A message with a file was not said: the file is of no use.
    pub(super) fn drop_file(&self, file: FileId) {
        if let Err(e) = self.node.remove_file(file) {
            log::debug!("file {}: {e}", file.short());
        }
    }

    fn files(&self) -> Result<Value, Failure> {
        let files = self.node.files()?.into_iter().map(|f| json::write(api::FileInfo::from(f)));
        Ok(json!({ "files": files.collect::<Result<Vec<_>, _>>()? }))
    }

    fn fetch_file(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        let (peers, groups) = (self.node.peers()?, self.known_groups()?);
        let of = resolve::conversation_with(text_of(params, "conversation")?, &self.book()?, &peers, &groups)?;
        let message = self.message(of, text_of(params, "id")?)?;
        let Content::File { file, .. } = &message.content else {
            return Err(Failure::new(Exit::Failed, "this message has no file")
                .hint("donp history marks messages with files and shows their ids"));
        };
        let author: Option<NodeId> = (message.author != self.node.id()).then_some(message.author);
        self.node.fetch_file(of, file, author)?;
        let info = self.follow_file(file.id, (Instant::now() + wait_of(params)?, gone))?;
        let mut out = json::write(api::FileInfo::from(info))?;
        out["running"] = self.running.into();
        Ok(out)
    }

    fn message(&self, of: Conversation, text: &str) -> Result<Message, Failure> {
        let id = self.message_id(of, text)?;
        let find = |m: &Result<Message, Failure>| m.as_ref().map_or(true, |m| m.id == id);
        self.walk(of).find(find).unwrap_or_else(|| Err(Failure::new(Exit::Failed, "this message is not here")))
    }

    /// The file when it is here, or as far as it came in the time.
    fn follow_file(&self, id: FileId, wait: Wait<'_>) -> Result<FileInfo, Failure> {
        loop {
            let info = self.node.files()?.into_iter().find(|f| f.id == id);
            let info = info.ok_or_else(|| Failure::new(Exit::Failed, "the file was removed meanwhile"))?;
            let left = left(wait);
            if info.is_whole || left.is_zero() {
                return Ok(info);
            }
            std::thread::sleep(left.min(POLL_INTERVAL));
        }
    }

    /// The file that an id or the beginning of one names.
    fn file_of(&self, params: &Value) -> Result<FileInfo, Failure> {
        let text = text_of(params, "file")?.trim().to_lowercase().replace('-', "");
        let is_meant = |f: &FileInfo| {
            let id = f.id.to_string();
            text.len() >= LEAST && (id.starts_with(&text) || id.strip_prefix('f').is_some_and(|i| i.starts_with(&text)))
        };
        let mut meant: Vec<FileInfo> = self.node.files()?.into_iter().filter(is_meant).collect();
        match (meant.pop(), meant.is_empty()) {
            (Some(file), true) => Ok(file),
            (Some(_), false) => Err(Failure::new(Exit::Failed, format!("'{text}' begins the ids of several files"))
                .hint("give more of the id: donp file list")),
            (None, _) => Err(Failure::new(Exit::Failed, format!("there is no file '{text}' here"))
                .hint("at least 6 characters of an id that donp file list shows")),
        }
    }

    fn save_file(&self, params: &Value) -> Result<Value, Failure> {
        let (file, path) = (self.file_of(params)?, text_of(params, "path")?);
        if !Path::new(path).is_absolute() {
            return Err(Failure::usage("'path' is a path from the root: the node has a folder of its own"));
        }
        let size = self.node.save_file(file.id, Path::new(path))?;
        Ok(object("saved_file", json!({ "id": file.id.to_string(), "path": path, "size": size })))
    }

    fn remove_file(&self, params: &Value) -> Result<Value, Failure> {
        let file = self.file_of(params)?;
        self.node.remove_file(file.id)?;
        Ok(object("removed_file", json!({ "id": file.id.to_string(), "name": file.name })))
    }
}
