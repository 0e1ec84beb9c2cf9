//! What `/proc` tells of this process's command line and environment, for a copy that goes on as
//! something else.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// From now on this process's command line is this title, and its environment is empty: neither
/// variables nor words of whoever started the process are found in its memory any more. Of the title,
/// as much is taken as the words had room for that the process was started with.
///
/// # Errors
/// What reading and writing `/proc/self` give; `InvalidInput` where they had no room at all.
pub fn go_by(title: &str) -> io::Result<()> {
    let areas = Areas::find()?;
    let mut line = title.as_bytes().to_vec();
    let room = areas.arguments.length()?;
    // A zero behind it, and something else at the very end, by which the kernel tells a title from
    // words (`get_mm_cmdline`, fs/proc/base.c).
    let most = room.checked_sub(2).ok_or(io::ErrorKind::InvalidInput)?;
    line.truncate(most);
    line.resize(most + 1, 0);
    line.push(b'.');
    let memory = File::options().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&line, areas.arguments.start)?;
    let nothing = vec![0; areas.environment.length()?];
    memory.write_all_at(&nothing, areas.environment.start)
}

/// Where the kernel put what the process was started with.
struct Areas {
    arguments: Area,
    environment: Area,
}

struct Area {
    start: u64,
    end: u64,
}

impl Areas {
    fn find() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        Self::read(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Fields 48 to 51 of proc(5)'s `stat`.
    fn read(stat: &str) -> Option<Self> {
        // The name in field 2 may hold spaces and parentheses.
        let (_, fields) = stat.rsplit_once(')')?;
        // Field 3 is the first of these.
        let mut fields = fields.split_ascii_whitespace().skip(48 - 3);
        let mut area = || {
            Some(Area {
                start: fields.next()?.parse().ok()?,
                end: fields.next()?.parse().ok()?,
            })
        };
        Some(Self {
            arguments: area()?,
            environment: area()?,
        })
    }
}

impl Area {
    fn length(&self) -> io::Result<usize> {
        let length = self.end.saturating_sub(self.start);
        usize::try_from(length).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_areas_are_those_of_the_kernel() {
        let areas = Areas::find().unwrap();
        for (file, area) in [
            ("cmdline", &areas.arguments),
            ("environ", &areas.environment),
        ] {
            let mut there = vec![0; area.length().unwrap()];
            let memory = File::open("/proc/self/mem").unwrap();
            memory.read_exact_at(&mut there, area.start).unwrap();
            assert_eq!(there, std::fs::read(format!("/proc/self/{file}")).unwrap());
        }
        assert!(Areas::read("7 (a b) S 1 2 3").is_none());
    }
}
