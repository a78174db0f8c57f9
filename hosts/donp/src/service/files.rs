//! Files that messages name, from JSON to JSON.

use std::path::Path;
use std::time::Instant;

use donp_core::{Attachment, Content, Conversation, FileId, FileInfo, Message, NodeId};
use donp_runtime::{ErrorKind, NodeError, api};
use serde_json::{Value, json};

use super::{POLL_INTERVAL, Service, Wait, left, number_of, text_of, wait_of};
use crate::failure::{Exit, Failure};
use crate::json::{self, object};
use crate::resolve;

/// Characters of an id that name a file, as for messages.
const LEAST: usize = 6;

/// A file as a message names it, and as `add_file` answers.
///
/// # Errors
/// When it is something else.
pub(super) fn attachment(value: &Value) -> Result<Attachment, Failure> {
    let file: api::Attachment = json::read(value).map_err(|e| {
        Failure::usage(format!("'file' is no file of a message: {}", e.what))
            .hint("a path from the root, or the 'file' of a message, or what add_file answered")
    })?;
    Ok(file.into())
}

/// Paths are the daemon's to open, which is in another folder than who asks.
pub(super) fn from_root<'a>(params: &'a Value, name: &str) -> Result<&'a Path, Failure> {
    is_from_root(name, text_of(params, name)?)
}

fn is_from_root<'a>(name: &str, path: &'a str) -> Result<&'a Path, Failure> {
    let is_absolute = Path::new(path).is_absolute();
    let wrong = || Failure::usage(format!("'{name}' is a path from the root: the node has a folder of its own"));
    is_absolute.then_some(Path::new(path)).ok_or_else(wrong)
}

impl Service {
    /// A method about files; none if there is no such method.
    pub(super) fn file_call(
        &self,
        method: &str,
        params: &Value,
        gone: &dyn Fn() -> bool,
    ) -> Option<Result<Value, Failure>> {
        Some(match method {
            "add_file" => self.add_file(params),
            "files" => self.files(),
            "fetch_file" => self.fetch_file(params, gone),
            "read_file" => self.read_file(params),
            "save_file" => self.save_file(params),
            "remove_file" => self.remove_file(params),
            _ => return None,
        })
    }

    /// What a message says that names the file at a path: it is read here, in the process that has the profile.
    pub(super) fn file_content(&self, path: &str, text: &str) -> Result<Content, Failure> {
        let path = is_from_root("file", path)?;
        Ok(Content::File { file: Box::new(self.node.add_file(path, "")?), text: text.into() })
    }

    /// A message with a file was not said: the file is of no use.
    pub(super) fn drop_file(&self, file: FileId) {
        if let Err(e) = self.node.remove_file(file) {
            log::debug!("file {}: {e}", file.short());
        }
    }

    fn add_file(&self, params: &Value) -> Result<Value, Failure> {
        let path = from_root(params, "path")?;
        let media_type = params["media_type"].as_str().unwrap_or_default();
        let added = self.node.add_file(path, media_type).map_err(|e| match e {
            NodeError::File { .. } => Failure::new(Exit::Storage, e.to_string())
                .hint("a file that the daemon may read, at a path from the root"),
            e => e.into(),
        })?;
        let fields = serde_json::to_value(api::Attachment::from(added))
            .map_err(|e| Failure::new(Exit::Bug, format!("an answer cannot be written as JSON: {e}")))?;
        Ok(object("added_file", fields))
    }

    fn files(&self) -> Result<Value, Failure> {
        let files = self.node.files()?.into_iter().map(|f| json::write(api::FileInfo::from(f)));
        Ok(json!({ "files": files.collect::<Result<Vec<_>, _>>()? }))
    }

    fn fetch_file(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        let (peers, groups) = (self.node.peers()?, self.known_groups()?);
        let of = resolve::conversation_with(text_of(params, "conversation")?, &self.book()?, &peers, &groups)?;
        let (file, author) = match &params["file"] {
            Value::Null => self.file_named(of, text_of(params, "id")?)?,
            file => {
                let author = params["author"].as_str().map(|text| resolve::node_with(text, &self.book()?, &peers));
                (attachment(file)?, author.transpose()?)
            }
        };
        self.node.fetch_file(of, &file, author)?;
        let info = self.follow_file(file.id, (Instant::now() + wait_of(params)?, gone))?;
        let mut out = json::write(api::FileInfo::from(info))?;
        out["running"] = self.running.into();
        Ok(out)
    }

    /// The file that a message names, and who said it if that is another node.
    fn file_named(&self, of: Conversation, message: &str) -> Result<(Attachment, Option<NodeId>), Failure> {
        let message = self.message(of, message)?;
        let Content::File { file, .. } = message.content else {
            return Err(Failure::new(Exit::Failed, "this message has no file")
                .hint("donp history marks those that do, each with its id"));
        };
        Ok((*file, (message.author != self.node.id()).then_some(message.author)))
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
                .kind(ErrorKind::InvalidInput)
                .hint("give more of the id: donp file list")),
            (None, _) => Err(Failure::new(Exit::Failed, format!("there is no file '{text}' here"))
                .hint("at least 6 characters of an id that donp file list shows")),
        }
    }

    /// One part, in hexadecimal: 128 KiB of text at most.
    fn read_file(&self, params: &Value) -> Result<Value, Failure> {
        let text = text_of(params, "file")?;
        let id = text.parse::<FileId>().map_err(|e| {
            Failure::usage(format!("'{text}' is not the id of a file: {e}")).hint("the whole id, as `files` shows it")
        })?;
        let part = u32::try_from(number_of(params, "part", 0)?)
            .map_err(|_| Failure::usage("no file has so many parts").hint("parts of 65,520 bytes, from 0"))?;
        let bytes = self.node.read_file(id, part)?;
        let digits = bytes.map(|bytes| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>());
        Ok(object("file_part", json!({ "id": id.to_string(), "part": part, "bytes": digits })))
    }

    fn save_file(&self, params: &Value) -> Result<Value, Failure> {
        let (file, path) = (self.file_of(params)?, from_root(params, "path")?);
        let size = self.node.save_file(file.id, path)?;
        Ok(object("saved_file", json!({ "id": file.id.to_string(), "path": path, "size": size })))
    }

    fn remove_file(&self, params: &Value) -> Result<Value, Failure> {
        let file = self.file_of(params)?;
        self.node.remove_file(file.id)?;
        Ok(object("removed_file", json!({ "id": file.id.to_string(), "name": file.name })))
    }
}
