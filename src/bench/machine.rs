//! What the processes of this machine use, from `/proc`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::Duration,
};

/// `USER_HZ` of every Linux that is built today.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time that a group of processes has used, by name of the group.
pub type Cpu = BTreeMap<&'static str, Duration>;

/// Processes that belong together.
#[derive(Debug, Clone)]
pub struct Group {
    /// What it is called.
    pub name: &'static str,
    /// The process at its top.
    pub pid: u32,
    /// Whether its descendants belong to it.
    pub whole: bool,
}

/// The CPU time of each group; one whose process is gone is left out.
pub fn cpu(groups: &[Group]) -> Cpu {
    let all = processes();
    let mut used = Cpu::new();
    for group in groups {
        let Some(top) = all.get(&group.pid) else { continue };
        // children that have ended are in the sum of the one that waited for them
        let mut ticks = top.own + if group.whole { top.waited_for } else { 0 };
        let mut parents = if group.whole { vec![group.pid] } else { vec![] };
        while let Some(parent) = parents.pop() {
            for (pid, process) in all.iter().filter(|(_, process)| process.parent == parent) {
                ticks += process.own + process.waited_for;
                parents.push(*pid);
            }
        }
        *used.entry(group.name).or_default() += Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    }
    used
}

/// The process that listens on a port of this machine, if it is one that we may look at.
pub fn listener(port: u16) -> Option<u32> {
    let wanted = format!(":{port:04X}");
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A is LISTEN
            if let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..]
                && local.ends_with(&wanted)
            {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    let holds = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|to| {
            let to = to.to_string_lossy();
            inodes.iter().any(|inode| *inode == to)
        })
    };
    // a child that was forked with the socket open holds it too: the oldest one is meant
    processes().into_keys().filter(holds).min()
}

/// Resident memory of a process in bytes: now, and the most it ever was.
pub fn memory(pid: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
    };
    Some((of("VmRSS:")?, of("VmHWM:")?))
}

struct Process {
    parent: u32,
    own: u64,
    waited_for: u64,
}

fn processes() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, of_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// Reads proc(5) `stat`; the name in brackets may hold anything, so what follows it counts from the last bracket.
fn of_stat(text: &str) -> Option<Process> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        parent: u32::try_from(number(1)?).ok()?,
        own: number(11)? + number(12)?,
        waited_for: number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_any_name() {
        let text = "7 (a) b) c) S 3 7 7 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 5 0 0";
        let process = of_stat(text).unwrap();
        assert_eq!((process.parent, process.own, process.waited_for), (3, 33, 77));
    }

    #[test]
    fn this_process_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let pid = std::process::id();
        assert_eq!(listener(socket.local_addr().unwrap().port()), Some(pid));
        assert!(cpu(&[Group { name: "self", pid, whole: true }]).contains_key("self"));
        let (now, most) = memory(pid).unwrap();
        assert!(now > 0 && most >= now);
    }
}
