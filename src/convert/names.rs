//! The Python enums (`ECA`, `DBR`, `AlarmSeverity`, …), looked up by number without asking Python.

use crate::calls::{getattr, import};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Members of one enum by their numbers.
pub struct Members {
    /// From `lowest` on; `None` if a number has no member.
    members: Vec<Option<Py<PyAny>>>,
    lowest: i64,
}

impl Members {
    fn of(module: &Bound<'_, PyAny>, name: &str) -> PyResult<Members> {
        let all = getattr(&getattr(module, name)?, "_value2member_map_")?;
        let mut numbered = Vec::new();
        for (number, member) in all.cast::<PyDict>()?.iter() {
            numbered.push((number.extract::<i64>()?, member.unbind()));
        }
        numbered.sort_by_key(|(number, _)| *number);
        let lowest = numbered.first().map_or(0, |(number, _)| *number);
        let mut members = Vec::new();
        for (number, member) in numbered {
            let place = usize::try_from(number - lowest)?;
            members.resize_with(place + 1, || None);
            members[place] = Some(member);
        }
        Ok(Members { members, lowest })
    }

    /// The member with this number, or the number itself if there is none.
    pub fn get<'py>(&self, py: Python<'py>, number: i64) -> PyResult<Bound<'py, PyAny>> {
        let place = usize::try_from(number - self.lowest).ok();
        match place.and_then(|place| self.members.get(place)) {
            Some(Some(member)) => Ok(member.bind(py).clone()),
            _ => Ok(number.into_pyobject(py)?.into_any()),
        }
    }
}

pub struct Names {
    pub eca: Members,
    pub dbr: Members,
    pub dbf: Members,
    pub op: Members,
    pub state: Members,
    pub condition: Members,
    pub severity: Members,
}

/// The enums of `cachannel._enums`.
pub fn names(py: Python<'_>) -> PyResult<&'static Names> {
    static NAMES: PyOnceLock<Names> = PyOnceLock::new();
    NAMES.get_or_try_init(py, || {
        let module = import(py, "cachannel._enums")?;
        Ok(Names {
            eca: Members::of(&module, "ECA")?,
            dbr: Members::of(&module, "DBR")?,
            dbf: Members::of(&module, "DBF")?,
            op: Members::of(&module, "CA_OP")?,
            state: Members::of(&module, "ChannelState")?,
            condition: Members::of(&module, "AlarmCondition")?,
            severity: Members::of(&module, "AlarmSeverity")?,
        })
    })
}
