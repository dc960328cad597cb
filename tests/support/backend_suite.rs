//! The laws of [`Backend`], as one suite for every implementation.

use execmem::{Backend, BackendError, Extent, PageSize, Protection};
use execmem_types::{Access, Mapping, Rights, SyncScope, Trap};

/// A backend under test, and where it may be used.
#[derive(Debug)]
pub struct Subject<B> {
    /// The backend.
    pub backend: B,
    /// Addresses it manages, at a multiple of 2 MiB.
    pub window: Extent,
    /// The page size to test with.
    pub page: PageSize,
    /// Whether memory can be written through another mapping.
    pub can_poke: bool,
}

const TRAP: Trap = Trap::byte(0xcc);

impl<B: Backend> Subject<B> {
    fn block(&self, index: u64) -> Extent {
        self.window.part(index * self.page.bytes(), self.page.bytes()).expect("a block in the window")
    }

    fn mapping(&self, extent: Extent, protection: Protection) -> Mapping {
        Mapping::new(extent, self.page, protection, TRAP)
    }

    fn map(&self, index: u64, protection: Protection) -> Extent {
        self.map_becoming(index, protection, protection)
    }

    fn map_becoming(&self, index: u64, protection: Protection, later: Protection) -> Extent {
        let extent = self.block(index);
        self.backend.map(&self.mapping(extent, protection).becoming(later)).expect("memory");
        extent
    }

    fn byte(&self, address: u64) -> Result<u8, BackendError> {
        let mut byte = [0];
        self.backend.read(address, &mut byte).map(|()| byte[0])
    }

    /// Runs every law.
    pub fn run(&self) {
        self.fresh_memory_holds_the_pattern();
        self.rights_decide_who_may_store();
        self.rights_change_within_those_the_mapping_said();
        self.mapped_memory_cannot_be_mapped_again();
        self.unmapped_memory_is_gone_and_comes_back_fresh();
        self.foreign_addresses_are_refused();
        self.parts_of_pages_are_refused();
        self.accesses_across_blocks_work_and_stop_at_gaps();
        self.empty_accesses_do_nothing();
    }

    fn fresh_memory_holds_the_pattern(&self) {
        for protection in [Protection::ReadExecute, Protection::ReadWrite, Protection::ReadOnly] {
            let extent = self.map(0, protection);
            let mut bytes = vec![0; usize::try_from(extent.len()).unwrap()];
            self.backend.read(extent.start(), &mut bytes).expect("mapped");
            assert!(bytes.iter().all(|&byte| byte == 0xcc), "law 3");
            self.backend.unmap(extent).expect("mapped");
        }
    }

    fn rights_decide_who_may_store(&self) {
        let extent = self.map(0, Protection::ReadExecute);
        let at = extent.start() + 100;
        let denied = BackendError::Denied { address: at, protection: Protection::ReadExecute };
        assert_eq!(self.backend.write(Access::Store, at, &[1]), Err(denied), "law 2");
        assert_eq!(self.byte(at), Ok(0xcc), "law 1");
        let poked = self.backend.write(Access::Poke, at, &[1, 2, 3]);
        self.backend.sync_code(extent, SyncScope::Fresh).expect("mapped");
        if self.can_poke {
            assert_eq!((poked, self.byte(at), self.byte(at + 2)), (Ok(()), Ok(1), Ok(3)), "law 5");
        } else {
            assert_eq!((poked, self.byte(at)), (Err(BackendError::Unsupported), Ok(0xcc)), "law 5");
        }
        self.backend.unmap(extent).expect("mapped");
    }

    fn rights_change_within_those_the_mapping_said(&self) {
        for last in [Protection::ReadExecute, Protection::ReadOnly] {
            let extent = self.map_becoming(0, Protection::ReadWrite, last);
            self.backend.write(Access::Store, extent.start() + 100, &[9]).expect("writable");
            self.backend.protect(extent, last).expect("as the mapping said");
            assert!(self.backend.write(Access::Store, extent.start() + 100, &[8]).is_err(), "law 2");
            self.backend.protect(extent, Protection::ReadWrite).expect("as the mapping said");
            assert_eq!(self.byte(extent.start() + 100), Ok(9));
            self.backend.fill(Access::Store, extent, Trap::word([1, 2, 3, 4])).expect("writable");
            assert_eq!(self.byte(extent.start() + 6), Ok(3));
            self.backend.protect(extent, Protection::NoAccess).expect("always allowed");
            assert!(self.byte(extent.start()).is_err());
            self.backend.unmap(extent).expect("mapped");
        }
        for (only, others) in [
            (Protection::ReadExecute, [Protection::ReadWrite, Protection::ReadOnly]),
            (Protection::ReadOnly, [Protection::ReadWrite, Protection::ReadExecute]),
            (Protection::ReadWrite, [Protection::ReadExecute, Protection::ReadOnly]),
        ] {
            let extent = self.map(0, only);
            for protection in others {
                let refused = BackendError::NeverAllowed { extent, rights: Rights::only(only), protection };
                assert_eq!(self.backend.protect(extent, protection), Err(refused), "law 8");
            }
            self.backend.unmap(extent).expect("mapped");
        }
    }

    fn mapped_memory_cannot_be_mapped_again(&self) {
        let extent = self.map(1, Protection::ReadWrite);
        self.backend.write(Access::Store, extent.start(), b"kept").expect("writable");
        let again = self.backend.map(&self.mapping(extent, Protection::ReadExecute));
        assert_eq!(again, Err(BackendError::AlreadyMapped { extent }));
        assert_eq!(self.byte(extent.start()), Ok(b'k'), "law 1");
        self.backend.unmap(extent).expect("mapped");
    }

    fn unmapped_memory_is_gone_and_comes_back_fresh(&self) {
        let extent = self.map(0, Protection::ReadWrite);
        self.backend.write(Access::Store, extent.start(), b"secret").expect("writable");
        self.backend.unmap(extent).expect("mapped");
        assert_eq!(self.byte(extent.start()), Err(BackendError::NotMapped { address: extent.start() }));
        assert_eq!(self.backend.unmap(extent), Err(BackendError::NotMapped { address: extent.start() }));
        let again = self.map(0, Protection::ReadWrite);
        assert_eq!(self.byte(again.start()), Ok(0xcc), "law 3");
        self.backend.unmap(again).expect("mapped");
    }

    fn foreign_addresses_are_refused(&self) {
        let mapped = self.map(0, Protection::ReadWrite);
        for address in [0x1000, mapped.start() - 1, mapped.last() + 1, u64::MAX - 8] {
            assert!(self.byte(address).is_err(), "{address:#x}");
            assert!(self.backend.write(Access::Store, address, &[0; 4]).is_err());
            assert!(self.backend.write(Access::Poke, address, &[0; 4]).is_err());
            let page = Extent::new(address & !(self.page.bytes() - 1), self.page.bytes()).expect("a page");
            if !page.overlaps(mapped) {
                assert!(self.backend.protect(page, Protection::ReadWrite).is_err());
                assert!(self.backend.unmap(page).is_err());
            }
        }
        self.backend.unmap(mapped).expect("mapped");
    }

    fn parts_of_pages_are_refused(&self) {
        let whole = self.block(0);
        let part = whole.part(0, whole.len() / 2 + 1).expect("a part");
        assert!(matches!(
            self.backend.map(&self.mapping(part, Protection::ReadWrite)),
            Err(BackendError::NotPages { .. })
        ));
        assert!(self.byte(part.start()).is_err(), "law 1");
    }

    fn accesses_across_blocks_work_and_stop_at_gaps(&self) {
        let (first, second) = (self.map(0, Protection::ReadWrite), self.map(1, Protection::ReadWrite));
        let at = second.start() - 2;
        self.backend.write(Access::Store, at, b"abcd").expect("both are mapped");
        assert_eq!((self.byte(at), self.byte(at + 3)), (Ok(b'a'), Ok(b'd')));
        let beyond = self.backend.write(Access::Store, second.last(), b"xy");
        assert_eq!(beyond, Err(BackendError::NotMapped { address: second.last() + 1 }));
        assert_eq!(self.byte(second.last()), Ok(0xcc), "law 1");
        self.backend.unmap(first).expect("mapped");
        self.backend.unmap(second).expect("mapped");
    }

    fn empty_accesses_do_nothing(&self) {
        assert_eq!(self.backend.write(Access::Store, 0, &[]), Ok(()));
        assert_eq!(self.backend.read(u64::MAX, &mut []), Ok(()));
    }
}
